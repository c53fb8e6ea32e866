"""Packages of npm that only benchmarks need, fetched once into the cache folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from browser_runtime.contract.errors import SetupError

NPM_TIMEOUT_S = 300


def fetch_packages(home: Path, wanted: list[str], tell: Callable[[str], None]) -> Path:
    """The folder `node_modules` in `home` with the packages of NAME@VERSION. Raises SetupError."""
    found = home / "node_modules"
    if all((found / each.rpartition("@")[0] / "package.json").is_file() for each in wanted):
        return found
    npm = shutil.which("npm")
    if npm is None:
        raise SetupError(f"npm, which fetches {', '.join(wanted)},", "install Node.js")
    tell(f"fetching {', '.join(wanted)}")
    home.mkdir(parents=True, exist_ok=True)
    words = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--prefix", str(home), *wanted]
    done = subprocess.run(words, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    if done.returncode != 0:
        why = done.stderr.strip().splitlines()
        raise SetupError(
            ", ".join(wanted), f"npm could not fetch it: {why[-1] if why else 'no reason given'}"
        )
    return found
