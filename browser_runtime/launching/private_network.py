"""A network of a pool's own: its page, its bridge and its drivers' ports are reached by nobody else.

A driver runs any program for whoever sends it a request, and asks for no password. So it listens, as does
everything else that a pool serves on loopback, in a network namespace that only this worker and its browsers
are in. The worker's end of each connection is a socket that was made in there.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from dataclasses import dataclass, replace
from typing import Self

import structlog

from browser_runtime.contract.errors import BadSetting
from browser_runtime.launching.browser_user import BrowserUser
from browser_runtime.launching.network_namespace import Entry
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

# It takes milliseconds; on a machine out of memory, seconds.
ENTRY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class PrivateNetwork:
    """A network namespace: where it is entered, and the sockets that wait for two servers in it."""

    entry: Entry
    page_socket: socket.socket
    bridge_socket: socket.socket

    @classmethod
    def create(cls, user: BrowserUser | None) -> Self:
        """A new one, which `user` may enter. Raises OSError where the machine does not allow it."""
        become = Entry(user=user.ids if user else None)
        network, *owner, page, bridge = _receive(become, "create")
        entry = replace(become, network=network, owner=owner[0] if owner else None)
        created = cls(entry, socket.socket(fileno=page), socket.socket(fileno=bridge))
        try:
            run_entry(entry, "check")
        except OSError:
            created.close()
            raise
        return created

    def connect(self, port: int) -> socket.socket:
        """A connection to `port` in there, as soon as somebody listens on it. Raises OSError."""
        (descriptor,) = _receive(replace(self.entry, user=_needed(self.entry)), "connect", str(port))
        return socket.socket(fileno=descriptor)

    def close(self) -> None:
        """Let go of it; it ends with the last process that is in it."""
        self.page_socket.close()
        self.bridge_socket.close()
        for descriptor in self.entry.descriptors:
            os.close(descriptor)


async def open_network(settings: RuntimeSettings, user: BrowserUser | None) -> PrivateNetwork | None:
    """The network of a new pool; None where there shall or can be none. Raises BadSetting where it must."""
    if settings.private_network == "never":
        return None
    try:
        return await asyncio.to_thread(PrivateNetwork.create, user)
    except OSError as error:
        if settings.private_network == "always":
            allowed = f"auto or never where the machine allows no network namespace ({error})"
            raise BadSetting("WEBINFER_PRIVATE_NETWORK", "'always'", allowed) from error
        log.warning("browsers share the machine's network", reason=str(error))
        return None


def run_entry(entry: Entry, *command: str, pass_fds: tuple[int, ...] = ()) -> None:
    """Run the script to its end. Raises OSError with what it said."""
    try:
        ended = subprocess.run(
            [*entry.words(), *command],
            pass_fds=(*entry.descriptors, *pass_fds),
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ENTRY_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"no answer within {ENTRY_TIMEOUT_S:.0f} s") from error
    if ended.returncode != 0:
        raise OSError((ended.stderr.strip().splitlines() or ["no reason given"])[-1])


def _needed(entry: Entry) -> tuple[int, int, tuple[int, ...]] | None:
    """Return the user that must be become to enter: the owner of a namespace that root did not make."""
    return entry.user if entry.owner is not None else None


def _receive(entry: Entry, *command: str) -> list[int]:
    """The descriptors that a command of the script sends. Raises OSError."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        name, *arguments = command
        run_entry(entry, name, str(theirs.fileno()), *arguments, pass_fds=(theirs.fileno(),))
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 8)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return descriptors
