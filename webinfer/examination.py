"""Examines the browsers of this machine, each backend by running a small graph."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from browser_runtime.contract.capabilities import BackendCapability
from browser_runtime.contract.errors import InferenceError, SetupError
from browser_runtime.contract.setup.remedies import (
    install_browser,
    install_extra,
    install_packages,
    vendor_page,
)
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.drivers import locate_driver
from browser_runtime.launching.versions import read_version
from browser_runtime.link.http_server import PAGE_FOLDER
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings

MANIFEST = PAGE_FOLDER / "vendor" / "manifest.json"


@dataclass(frozen=True, slots=True)
class BrowserExam:
    """The result of one browser."""

    browser: Browser
    build: str = ""
    binary: str = ""
    driver: str = ""
    driver_version: str = ""
    held_by: str = ""
    """Whose it runs as, in which network, whether in a sandbox."""
    weaknesses: tuple[str, ...] = ()
    """What does not hold it, each as a sentence."""
    start_ms: float = 0.0
    """From the start until every backend was tried."""
    backends: dict[Backend, BackendCapability] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something else that webinfer needs."""

    name: str
    path: str
    version: str
    remedy: str


def examine_tools() -> list[Tool]:
    """Redis, Node and the packages of the pages, with the commands that install missing ones."""
    wanted = (("redis-server", install_packages("redis")), ("node", install_packages("node")))
    tools = []
    for name, remedy in wanted:
        path = shutil.which(name)
        tools.append(Tool(name, path or "", read_version(Path(path)) if path else "", "" if path else remedy))
    is_there = MANIFEST.exists()
    return [*tools, Tool("page packages", str(MANIFEST) * is_there, "", "" if is_there else vendor_page())]


async def examine_browsers(
    settings: RuntimeSettings, browsers: list[Browser], tell: Callable[[str], None]
) -> list[BrowserExam]:
    """Examine every browser, one at a time so that start times are its own; `tell` gets progress messages."""
    exams = []
    for browser in browsers:
        tell(f"starting {browser} and proving its backends")
        exams.append(await _examine(settings, browser))
    return exams


async def _examine(settings: RuntimeSettings, browser: Browser) -> BrowserExam:
    if not MANIFEST.exists():
        return BrowserExam(browser, problem="not tried: the packages that its page loads are missing")
    try:
        installation = await asyncio.to_thread(find_installation, browser, settings)
    except SetupError as error:
        return BrowserExam(browser, problem=str(error), remedy=install_browser(browser))
    found = BrowserExam(browser, installation.build, str(installation.binary))
    try:
        driver = str(await asyncio.to_thread(locate_driver, installation))
    except SetupError as error:
        return replace(found, problem=str(error), remedy=install_extra("drivers"))
    return await _prove(settings, browser, replace(found, driver=driver))


async def _prove(settings: RuntimeSettings, browser: Browser, found: BrowserExam) -> BrowserExam:
    """`found` with what the started browser proved, or the reason why it did not start."""
    pool = Pool(settings.model_copy(update={"simulation": "never"}), browser)
    try:
        await pool.open()
        session = pool.sessions[0]
        return replace(
            found,
            driver_version=session.info.driver,
            held_by=str(session.host.confinement),
            weaknesses=session.host.confinement.weaknesses if session.host.confinement else (),
            start_ms=session.started_ms,
            backends=session.capabilities.backends,
            versions=session.capabilities.versions,
        )
    except InferenceError as error:
        return replace(found, problem=str(error))
    finally:
        await pool.close()
