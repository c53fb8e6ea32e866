"""The folder, the environment and the memory of a browser session's processes."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

from browser_runtime.contract.session_processes import FOLDER_PREFIX, MARK, find_processes, open_handle

# What browsers and the drivers of graphics cards read: the language, the screen, which card, how it is used.
INHERITED = re.compile(
    r"PATH|LANG|LANGUAGE|LC_[A-Z]+|TZ|DISPLAY|WAYLAND_DISPLAY|LD_LIBRARY_PATH|FONTCONFIG_\w+|DRI_PRIME"
    r"|(LIBGL|EGL|MESA|GALLIUM|LP|VK|GL|AMD|RADV|ANV|INTEL|NVIDIA|CUDA|HIP|ROCR|ZINK)_\w+|__(GLX?|NV|EGL|VK)_\w+"
)
# Of no use to another user.
OWN = ("USER", "LOGNAME", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


def make_session_folder(session: str) -> Path:
    """A fresh temporary directory for one session: profile, sockets, driver files."""
    parent = Path(tempfile.gettempdir())
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have removed it meanwhile
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{session}-"))


def session_environment(folder: Path, *, is_own: bool = True) -> dict[str, str]:
    """The environment of a session's driver and browser, of this user or (`is_own` false) of another.

    All that they write stays in `folder`. They inherit nothing but what is named here: no proxy, and no
    password or token, whatever it is called.
    """
    inherited = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    if is_own:
        inherited |= {name: os.environ[name] for name in OWN if name in os.environ}
    return inherited | {
        MARK: str(folder),
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "MOZ_CRASHREPORTER_DISABLE": "1",
        "MOZ_HEADLESS": "1",
        # A kept cache may be of a newer build than one that was rolled back: dropped, and no reason to end.
        "MOZ_ALLOW_DOWNGRADE": "1",
    }


async def await_end(pid: int) -> None:
    """Return once the process has ended, reaped or not."""
    with open_handle(pid) as handle:
        if handle is None:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)


def memory_bytes(folder: Path, leader: int | None) -> int | None:
    """Proportional memory (PSS) of the session's processes; None where the system does not tell."""
    sizes = [_pss(pid) for pid in find_processes(folder, leader)]
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _pss(pid: int) -> int | None:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except OSError:
        return None
    return None
