"""Finds browsers: a setting, PATH and usual places; for Edge, npm's Chromium that stands in for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.errors import BadSetting, SetupError
from browser_runtime.contract.setup.additions import describe_additions, parse_arguments, parse_preferences
from browser_runtime.contract.setup.environment import variable
from browser_runtime.contract.setup.remedies import install_browser
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.driver_files import driver_name, find_driver
from browser_runtime.launching.stand_in import stand_in_binary
from browser_runtime.launching.versions import read_version
from browser_runtime.settings import RuntimeSettings

NAMES = {
    Browser.FIREFOX: ("firefox", "firefox-esr"),
    Browser.CHROME: ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser"),
    Browser.EDGE: ("microsoft-edge", "microsoft-edge-stable", "microsoft-edge-dev"),
}
USUAL_PLACES = (
    Path("/usr/bin"),
    Path("/usr/local/bin"),
    Path("/opt/google/chrome"),
    Path("/opt/firefox"),
    Path("/snap/bin"),
)


@dataclass(frozen=True, slots=True)
class Installation:
    """A browser that can be started."""

    browser: Browser
    binary: Path
    version: str
    driver: Path | None
    """None: `drivers.locate_driver` asks Selenium Manager."""
    spare_driver: Path | None = None
    """The driver to use where Selenium Manager has none either."""
    stands_in: bool = False
    """True: a Chromium plays Edge."""
    headless_shell: bool = False
    arguments: tuple[str, ...] = ()
    """Command-line arguments beside webinfer's own; none for Firefox."""
    preferences: tuple[tuple[str, bool | int | str], ...] = ()
    """Firefox's preferences beside webinfer's own."""

    @property
    def build(self) -> str:
        """Product and version, what it stands in for, and what was added to how it is started."""
        product = {Browser.FIREFOX: "Firefox", Browser.EDGE: "Microsoft Edge"}.get(self.browser, "Chromium")
        if self.stands_in:
            product = "Chromium"
        shell = " headless shell" if self.headless_shell else ""
        stands_in = f", stands in for {self.browser}" if self.stands_in else ""
        added = describe_additions(self.arguments, dict(self.preferences))
        return f"{product} {self.version}{shell}{stands_in}" + (f", with {added}" if added else "")


def find_installation(browser: Browser, settings: RuntimeSettings) -> Installation:
    """The `browser` to start.

    Raises SetupError with the command that installs what is missing, BadSetting where a setting names nothing
    that can be started.
    """
    binary = _named(settings, f"{browser}_binary") or _find(NAMES[browser])
    stands_in = False
    if binary is None and browser is Browser.EDGE:
        binary, stands_in = stand_in_binary(settings.cache_dir), True
    if binary is None:
        raise SetupError(f"the browser {browser}", _advise(browser))
    version = read_version(binary)
    stands_in = stands_in or (browser is Browser.EDGE and "edge" not in binary.name.lower())
    shell = browser is not Browser.FIREFOX and binary.parent.parent == settings.cache_dir
    named, spare = _named(settings, f"{browser}_driver"), None
    if named is None:
        named, spare = find_driver(driver_name(browser, stands_in=stands_in), binary, version)
    is_firefox = browser is Browser.FIREFOX
    arguments = () if is_firefox else parse_arguments(settings.chromium_arguments)
    preferences = tuple(parse_preferences(settings.firefox_preferences).items()) if is_firefox else ()
    return Installation(browser, binary, version, named, spare, stands_in, shell, arguments, preferences)


def _advise(browser: Browser) -> str:
    command = install_browser(browser)
    if browser is Browser.EDGE:
        return f"install Microsoft Edge, or the Chromium that stands in for it: {command}"
    return f"install it with: {command}"


def _named(settings: RuntimeSettings, name: str) -> Path | None:
    """The program that a setting names; None where it is not set. Raises BadSetting."""
    path: Path | None = getattr(settings, name)
    if path is not None and not (path.is_file() and os.access(path, os.X_OK)):
        raise BadSetting(variable(RuntimeSettings, name), repr(str(path)), "a program that is there")
    return path


def _find(names: tuple[str, ...]) -> Path | None:
    for name in names:
        for found in (shutil.which(name), *(place / name for place in USUAL_PLACES)):
            if found and Path(found).exists():
                return Path(found)
    return None
