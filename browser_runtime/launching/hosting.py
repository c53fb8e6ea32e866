"""The asynchronous side of one browser: its blocking calls run in threads, its end is certain."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import psutil
import structlog

from browser_runtime.contract import session_processes
from browser_runtime.contract.errors import BadSetting, BrowserDied, SetupError
from browser_runtime.contract.session_folders import hold_folder
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching import processes
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.browser_user import find_browser_user
from browser_runtime.launching.confinement import Confinement, confine
from browser_runtime.launching.drivers import Launched, launch, locate_driver
from browser_runtime.launching.guardian import Guardian
from browser_runtime.launching.private_network import PrivateNetwork
from browser_runtime.launching.startup_cache import make_profile
from browser_runtime.once import call_in_thread
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

# A start that is called off makes new processes for as long as it has not noticed.
KILL_AGAIN_S = 1.0
# Chrome keeps a socket in its temporary directory, under a name of 45 characters, and a socket's path has at
# most 107 (sun_path); measured: with 62 it starts, with 63 it exits.
LONGEST_FOLDER = 62


class BrowserHost:
    """One browser's processes and folder."""

    def __init__(
        self, name: str, settings: RuntimeSettings, guardian: Guardian, network: PrivateNetwork | None = None
    ) -> None:
        self._name, self._settings, self._guardian, self._network = name, settings, guardian, network
        self.confinement: Confinement | None = None
        """What holds the browser, once it was started."""
        self._folder: Path | None = None
        self._release_folder: Callable[[], object] = _nothing
        self._launched: Launched | None = None
        self._starting: asyncio.Task[Launched] | None = None

    async def launch(self, installation: Installation) -> Launched:
        """The started browser. Raises BrowserDied, SetupError, BadSetting."""
        _check_display(self._settings)
        self._folder = processes.make_session_folder(self._name)
        self._release_folder = weakref.finalize(self, os.close, hold_folder(self._folder))
        self._guardian.watch(self._folder)
        _check_folder(self._folder, installation)
        starting = asyncio.to_thread(self._start, installation, self._folder)
        self._starting = asyncio.get_running_loop().create_task(starting)
        try:
            async with asyncio.timeout(self._settings.launch_timeout_s):
                self._launched = await asyncio.shield(self._starting)  # a thread cannot be cancelled
        except TimeoutError as error:
            raise BrowserDied(
                self._name, f"it did not start in {self._settings.launch_timeout_s} s"
            ) from error
        self._guardian.watch(self._folder, self._launched.leader)
        return self._launched

    def _start(self, installation: Installation, folder: Path) -> Launched:
        """The browser, started in its confinement. Blocks."""
        user = find_browser_user(self._settings)
        confinement = confine(installation, locate_driver(installation), user, self._network)
        for weakness in confinement.weaknesses:
            log.warning("browser confined less", session=self._name, reason=weakness)
        self.confinement = confinement
        environment = processes.session_environment(folder, is_own=confinement.user is None)
        is_firefox = installation.browser is Browser.FIREFOX
        profile = make_profile(folder, installation, self._settings.cache_dir) if is_firefox else None
        headless = self._settings.headless
        return launch(installation, environment, folder, confinement, headless=headless, profile=profile)

    async def quit(self) -> Path:
        """Have the browser end by itself; the folder that it leaves. Raises BrowserDied. `end` comes next."""
        assert self._launched is not None and self._folder is not None
        await asyncio.to_thread(self._launched.quit)
        return self._folder

    async def hold_driver(self) -> None:
        """Let the driver obey nobody from now on, where others could reach it."""
        if self._launched is not None and self._network is None:
            await asyncio.to_thread(self._launched.hold)

    async def open_page(self, url: str) -> None:
        """Navigate to `url`. Raises BrowserDied."""
        assert self._launched is not None
        await asyncio.to_thread(self._launched.open_page, url, self._settings.launch_timeout_s)

    async def page_status(self) -> str:
        """Return the page's own status text."""
        assert self._launched is not None
        return await asyncio.to_thread(self._launched.page_status)

    async def await_end(self) -> None:
        """Return once the driver has no browser beneath it."""
        if self._launched is not None:
            for pid in await asyncio.to_thread(_children, self._launched.leader):
                await processes.await_end(pid)

    @property
    def lacks_folder(self) -> bool:
        """Return whether the running browser's folder was removed, as cleaners of temporary files do."""
        return self._folder is not None and not self._folder.is_dir()

    @property
    def lacks_driver(self) -> bool:
        """Return whether the browser's driver has ended; Firefox goes on without it, and obeys nobody."""
        return self._launched is not None and not _is_running(self._launched.leader)

    async def memory_bytes(self) -> int | None:
        """Proportional memory of all the session's processes."""
        if self._folder is None or self._launched is None:
            return None
        return await asyncio.to_thread(processes.memory_bytes, self._folder, self._launched.leader)

    async def end(self) -> None:
        """Kill the browser and all it started, remove its folder; safe to call at any time."""
        if self._folder is None:
            return
        folder, self._folder = self._folder, None
        self._release_folder()
        launched = self._launched or await self._call_off(folder)
        await call_in_thread(session_processes.end_session, folder, launched.leader if launched else None)
        if launched is not None:
            await call_in_thread(launched.release)
        self._guardian.release(folder)

    async def _call_off(self, folder: Path) -> Launched | None:
        """Let a start that is under way fail by taking its processes; what it brought up all the same."""
        if self._starting is None:
            return None
        while not self._starting.done():
            await call_in_thread(session_processes.end_session, folder, None)
            await asyncio.wait([self._starting], timeout=KILL_AGAIN_S)
        return None if self._starting.exception() else self._starting.result()


def _nothing() -> None:
    """Release a folder that was never held."""


def _check_display(settings: RuntimeSettings) -> None:
    """Raises BadSetting where a window is wanted and there is nothing to show one on."""
    shows = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not (settings.headless or shows):
        raise BadSetting("WEBINFER_HEADLESS", "False", "True where there is no display: DISPLAY is not set")


def _check_folder(folder: Path, installation: Installation) -> None:
    """Raises SetupError where Chrome would exit without a word."""
    is_bound = installation.browser is not Browser.FIREFOX and not installation.headless_shell
    if is_bound and len(str(folder)) > LONGEST_FOLDER:
        remedy = f"set TMPDIR to one at least {len(str(folder)) - LONGEST_FOLDER} characters shorter"
        raise SetupError("a temporary directory with a short path for Chrome's socket", remedy)


def _is_running(pid: int) -> bool:
    """Return whether the process is there; a zombie has ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _children(leader: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(leader).children()]
    except psutil.NoSuchProcess:
        return []
