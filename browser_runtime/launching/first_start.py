"""The first start of a Firefox build, without a page: `webinfer prepare` keeps what it compiles."""

from __future__ import annotations

import asyncio
from pathlib import Path

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.browser_user import find_browser_user
from browser_runtime.launching.guardian import Guardian
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.launching.private_network import open_network
from browser_runtime.launching.startup_cache import cache_folder, keep_startup_cache
from browser_runtime.settings import RuntimeSettings


async def prepare_firefox(settings: RuntimeSettings) -> Path:
    """The folder with the startup cache of this machine's Firefox, made now where it is not there.

    Raises SetupError without Firefox or where it keeps nothing, BrowserDied, BadSetting.
    """
    installation = await asyncio.to_thread(find_installation, Browser.FIREFOX, settings)
    folder = cache_folder(installation, settings.cache_dir)
    if folder.is_dir():
        return folder
    network = await open_network(settings, find_browser_user(settings))
    guardian = Guardian()
    host = BrowserHost("firefox-first", settings, guardian, network)
    try:
        await host.launch(installation)
        left = await host.quit()
        return await asyncio.to_thread(keep_startup_cache, left, installation, settings.cache_dir)
    finally:
        await host.end()
        guardian.close()
        if network is not None:
            network.close()
