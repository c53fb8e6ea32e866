"""Enter a network namespace of a pool's own, as a script: only this can be done in a process with one thread.

Whoever is outside of the namespace, on this machine or another, reaches none of its ports. Needs nothing but
the standard library. Commands, the first words of each being what `Entry.words` made:

    ENTRY create SOCKET              make a namespace; send its descriptors and two listening sockets
    ENTRY connect SOCKET PORT        send a socket connected to PORT, waiting for it to be listened on
    ENTRY check                      enter, and end
    ENTRY sandbox                    enter, and make a user namespace as the sandbox of a browser does
    ENTRY exec PROGRAM ARGUMENT...   become PROGRAM, in the namespace

SOCKET is the number of an inherited socket, to which the descriptors are sent. What goes wrong is the last
line of standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1  # linux/sockios.h, linux/if.h
# A driver that ends meanwhile is noticed by whoever waits, after a second.
CONNECT_TIMEOUT_S, CONNECT_INTERVAL_S = 1.0, 0.01


@dataclass(frozen=True, slots=True)
class Entry:
    """The namespaces to enter and the user to become, on the way to a session's driver."""

    network: int | None = None
    """Descriptor of a network namespace; None: the machine's own."""
    owner: int | None = None
    """Descriptor of the user namespace that owns it; None: it was made with the rights of root."""
    user: tuple[int, int, tuple[int, ...]] | None = None
    """Ids of a user, its group, further groups; None: nobody else."""

    def words(self) -> list[str]:
        """The command line that this script begins with."""
        return [sys.executable, "-S", "-I", __file__, json.dumps(asdict(self))]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the script must inherit."""
        return tuple(number for number in (self.network, self.owner) if number is not None)

    @property
    def is_plain(self) -> bool:
        """True where there is nothing to enter and nobody to become."""
        return self.network is None and self.user is None

    def enter(self) -> None:
        """Enter, become. Raises OSError."""
        if self.owner is None and self.network is not None:
            _call("setns", self.network, CLONE_NEWNET)
        self._become()
        if self.owner is not None and self.network is not None:
            _call("setns", self.owner, CLONE_NEWUSER)
            _call("setns", self.network, CLONE_NEWNET)

    def create(self) -> tuple[int, int | None]:
        """A new network namespace, and its owner where root did not make it. Raises OSError."""
        try:
            _call("unshare", CLONE_NEWNET)
            is_owned = False
        except PermissionError:
            is_owned = True
            self._become()
            _make_user_namespace()
        _raise_loopback()
        return _open("net"), _open("user") if is_owned else None

    def _become(self) -> None:
        if self.user is not None:
            user, group, groups = self.user
            os.setgroups(groups)
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
            _call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: /proc of this process is its own again


def _make_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNET)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _open(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _listen() -> socket.socket:
    """A socket on loopback, on a port that the system picks."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    listening.setblocking(False)
    return listening


def _connect(port: int) -> socket.socket:
    """A connection to `port`, as soon as somebody listens there. Raises OSError."""
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        connected = socket.socket()  # not create_connection, which loads modules that this user may not read
        with contextlib.suppress(ConnectionRefusedError):
            connected.connect(("127.0.0.1", port))
            return connected
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody listens on port {port}")
        time.sleep(CONNECT_INTERVAL_S)


def main(words: list[str]) -> None:
    """Do what `words` say."""
    told, command, *arguments = words
    fields = json.loads(told)
    entry = Entry(fields["network"], fields["owner"], fields["user"])
    match command, arguments:
        case "create", [number]:
            network, owner = entry.create()
            _send(
                int(number),
                network,
                *([] if owner is None else [owner]),
                _listen().detach(),
                _listen().detach(),
            )
        case "connect", [number, port]:
            entry.enter()
            _send(int(number), _connect(int(port)).detach())
        case "check", []:
            entry.enter()
        case "sandbox", []:
            entry.enter()
            _call("unshare", CLONE_NEWUSER)
        case "exec", [program, *more]:
            entry.enter()
            os.execv(program, [program, *more])  # noqa: S606 - nothing for a shell to read


def _send(number: int, *descriptors: int) -> None:
    with socket.socket(fileno=number) as line:
        socket.send_fds(line, [b"x"], descriptors)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
