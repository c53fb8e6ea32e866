"""The headless Chromium with real WebNN that npm's @sparticuz/chromium carries: Edge's stand-in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from browser_runtime.contract.environment import make_folder
from browser_runtime.contract.errors import SetupError

PAGE = Path(__file__).parent.parent / "page"
PACKAGE = PAGE / "node_modules/@sparticuz/chromium/package.json"


def stand_in_binary(cache_dir: Path) -> Path | None:
    """The unpacked binary, unpacked now if it is not yet; None without the npm package or Node.

    Raises BadSetting where the cache folder cannot be written, SetupError where unpacking fails.
    """
    if not PACKAGE.exists() or shutil.which("node") is None:
        return None
    version = json.loads(PACKAGE.read_text())["version"]
    folder = cache_dir / f"chromium-{version}"
    if not (folder / "chromium").exists():
        _unpack_once(folder)
    return folder / "chromium"


def _unpack_once(folder: Path) -> None:
    """Unpack beside the goal and rename, so that nobody ever starts half a browser."""
    make_folder("WEBINFER_CACHE_DIR", folder.parent)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "chromium").exists():
            return
        staging = tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent)
        try:
            _unpack(staging)
            Path(staging).rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _unpack(staging: str) -> None:
    """Raises SetupError with what Node says last."""
    try:
        subprocess.run(
            ["node", "stand_in.mjs", staging],
            cwd=PAGE,
            env=os.environ | {"TMPDIR": staging},
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
        )
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        raise SetupError(
            "an unpacked Chromium to stand in for edge", f"unpacking it failed: {told}"
        ) from error
