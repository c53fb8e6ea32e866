"""The line to a driver: how Selenium starts it in its confinement, and reaches its port from outside."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from selenium.webdriver.common.service import Service
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from browser_runtime.launching.confinement import Confinement
from browser_runtime.launching.network_namespace import Entry

Connect = Callable[[int], socket.socket]
"""A connection to a port on loopback. Raises OSError."""


def connect_to(confinement: Confinement) -> Connect:
    """How ports on the loopback of a confinement's network are reached."""
    if confinement.network is not None:
        return confinement.network.connect
    return lambda port: socket.create_connection(("127.0.0.1", port))


def confined(kind: type[Service], confinement: Confinement) -> type[Service]:
    """A service like `kind` whose driver starts in `confinement`."""
    entry, connect = confinement.entry, connect_to(confinement)

    class ConfinedService(kind):  # type: ignore[valid-type, misc]
        def _start_process(self, path: str) -> None:
            super()._start_process(path if entry.is_plain else entry.words()[0])

        def command_line_args(self) -> list[str]:
            arguments: list[str] = super().command_line_args()
            return arguments if entry.is_plain else [*entry.words()[1:], "exec", self.path, *arguments]

        def is_connectable(self) -> bool:
            try:
                connect(self.port).close()
            except OSError:
                return False
            return True

        def send_remote_shutdown_command(self) -> None:
            """Ask for nothing: a signal ends it as well."""

    return ConfinedService


def popen_options(entry: Entry) -> dict[str, Any]:
    """Return what `subprocess` is told about a driver's process: its own session, what it inherits."""
    return {"start_new_session": True, "pass_fds": entry.descriptors}


class DriverConnection(RemoteConnection):
    """Selenium's connection to a driver, made by `connect`; no proxy is between them."""

    def __init__(self, url: str, connect: Connect) -> None:
        self._connect = connect
        super().__init__(client_config=ClientConfig(url))

    def _get_connection_manager(self) -> PoolManager:
        connect = self._connect

        class Connection(HTTPConnection):
            def connect(self) -> None:
                try:
                    self.sock = connect(self.port)
                except OSError as error:
                    raise NewConnectionError(self, f"no connection to the driver: {error}") from error

        class ConnectionPool(HTTPConnectionPool):
            ConnectionCls = Connection

        manager = PoolManager(timeout=self.client_config.timeout)
        manager.pool_classes_by_scheme = {"http": ConnectionPool}
        return manager
