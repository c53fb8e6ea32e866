"""The user as whom browsers run where the worker is root: somebody to whom nothing belongs."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from browser_runtime.contract.errors import BadSetting
from browser_runtime.settings import RuntimeSettings

# Whoever sets webinfer up as root may make the first; the second is on every Linux.
USUAL_USERS = ("webinfer", "nobody")
GPU_FOLDERS = (Path("/dev/dri"),)
GPU_DEVICES = (Path("/dev/kfd"),)


@dataclass(frozen=True, slots=True)
class BrowserUser:
    """A user of this machine."""

    name: str
    ids: tuple[int, int, tuple[int, ...]]
    """Its own, its group's, and those of the groups to which the GPUs belong."""

    def give(self, folder: Path) -> None:
        """Make the folder and all that is in it the user's."""
        for path in (*folder.rglob("*"), folder):
            os.chown(path, *self.ids[:2], follow_symlinks=False)

    def cannot_reach(self, *paths: Path) -> str:
        """Return the first path that the user can neither open nor run, as a reason; else an empty text."""
        barred = next((path for path in paths if not _can_reach(self.ids, path)), None)
        return "" if barred is None else f"{self.name} cannot reach {barred}"


def find_browser_user(settings: RuntimeSettings) -> BrowserUser | None:
    """The user for browsers; None where the worker is not root, or its browsers shall be root's.

    Raises BadSetting for a user that is not there, or that the worker cannot become.
    """
    if os.geteuid() != 0:
        if settings.browser_user is not None:
            raise BadSetting(
                "WEBINFER_BROWSER_USER", repr(settings.browser_user), "left out where the worker is not root"
            )
        return None
    names = (settings.browser_user,) if settings.browser_user else USUAL_USERS
    found = next(filter(None, map(_find, names)), None)
    if found is None and settings.browser_user:
        raise BadSetting("WEBINFER_BROWSER_USER", repr(settings.browser_user), "a user of this machine")
    return None if found is None or found.ids[0] == 0 else found


def _find(name: str) -> BrowserUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return BrowserUser(name, (entry.pw_uid, entry.pw_gid, tuple(sorted(set(_gpu_groups())))))


def _gpu_groups() -> Iterable[int]:
    """Groups that may use a GPU: without them a browser would compute in software, and not say why."""
    devices = [*GPU_DEVICES, *(device for folder in GPU_FOLDERS for device in folder.glob("*"))]
    for device in devices:
        if device.is_char_device():
            about = device.stat()
            if about.st_mode & stat.S_IRGRP and about.st_gid != 0:
                yield about.st_gid


@cache
def _can_reach(ids: tuple[int, int, tuple[int, ...]], path: Path) -> bool:
    """Return whether that user may run the program, or enter the folder."""
    user, group, groups = ids
    program = shutil.which("test") or "/usr/bin/test"
    return (
        subprocess.run(
            [program, "-x", str(path)], user=user, group=group, extra_groups=groups, cwd="/", check=False
        ).returncode
        == 0
    )
