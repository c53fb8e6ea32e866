"""What Firefox compiles of itself when it first starts, kept for later: a session's profile is new."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.kept_folders import make_once

PROFILE = "profile"
# Its own scripts, compiled; and of which build they are: without the second Firefox throws the first away.
PARTS = ("startupCache", "compatibility.ini")


def cache_folder(installation: Installation, cache_dir: Path) -> Path:
    """Where the cache of a Firefox is kept; another for each build, also of one version."""
    binary = installation.binary.resolve()
    about = binary.stat()
    build = f"{binary} {about.st_mtime_ns} {about.st_size}"
    digest = hashlib.sha256(build.encode()).hexdigest()[:8]
    return cache_dir / f"firefox-{installation.version}-{digest}"


def make_profile(folder: Path, installation: Installation, cache_dir: Path) -> Path:
    """A new profile in `folder`, with what was kept for this Firefox; empty where nothing was."""
    profile = folder / PROFILE
    profile.mkdir()
    kept = cache_folder(installation, cache_dir)
    if kept.is_dir():
        shutil.copytree(kept, profile, dirs_exist_ok=True)
    return profile


def keep_startup_cache(profile: Path, installation: Installation, cache_dir: Path) -> Path:
    """Keep the cache of a profile whose Firefox has quit, having shown no page. Raises BadSetting."""

    def fill(staging: Path) -> None:
        shutil.copytree(profile / PARTS[0], staging / PARTS[0])
        shutil.copy(profile / PARTS[1], staging)

    folder = cache_folder(installation, cache_dir)
    make_once(folder, fill)
    return folder
