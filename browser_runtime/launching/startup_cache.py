"""What Firefox compiles of itself when it first starts, kept for later: a session's profile is new."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from browser_runtime.contract.errors import SetupError
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.kept_folders import make_once

log = structlog.get_logger(__name__)

PROFILE = "profile"
SCRIPTS = "startupCache"
# Names the build that the scripts are of; without it Firefox throws them away.
BUILD = "compatibility.ini"


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
    kept = cache_folder(installation, cache_dir)
    if kept.is_dir():
        try:
            shutil.copytree(kept, profile)
        except OSError as error:  # it was removed meanwhile, or the disk is full
            log.warning("Firefox starts without its kept cache", reason=str(error)[:200])
            shutil.rmtree(profile, ignore_errors=True)
    profile.mkdir(exist_ok=True)
    return profile


def keep_startup_cache(folder: Path, installation: Installation, cache_dir: Path) -> Path:
    """Keep the cache of the session in `folder`, whose Firefox showed no page and has quit.

    Raises SetupError where there is none, BadSetting where the cache folder cannot be written.
    """

    def fill(staging: Path) -> None:
        with _opened(folder) as session, _opened(PROFILE, session) as profile:
            _copy(BUILD, profile, staging)
            (staging / SCRIPTS).mkdir()
            with _opened(SCRIPTS, profile) as scripts, os.scandir(scripts) as entries:
                for entry in entries:
                    _copy(entry.name, scripts, staging / SCRIPTS)

    kept = cache_folder(installation, cache_dir)
    try:
        make_once(kept, fill)
    except OSError as error:
        raise SetupError("what Firefox compiles at its first start", str(error)) from error
    return kept


# Where root keeps it, the session is another user's, who may put links to root's files there meanwhile.


@contextmanager
def _opened(path: Path | str, parent: int | None = None) -> Iterator[int]:
    """The descriptor of a folder, not of one that a link leads to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy(name: str, parent: int, target: Path) -> None:
    """Copy a plain file, and nothing that a link leads to."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as source, (target / name).open("wb") as kept:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{name} is no plain file")
        shutil.copyfileobj(source, kept)
