"""A Redis of a test's own: ended and started again, full, or refusing to write."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from tasks.settings import TaskSettings
from tests.cluster.conftest import disconnect_app, point_app, until
from tests.processes import kill, running
from webinfer.stack.commands import free_port


class Server:
    """A Redis that can be ended and started again at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.socket = folder, folder / "r.sock"
        self.url = f"redis+socket://{self.socket}"
        command = ["redis-server", "--unixsocket", str(self.socket), "--port", "0", "--dir", str(folder)]
        self._command = [*command, *(options or ("--save", ""))]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until(self._answers)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))

    def end(self) -> None:
        if self._process is not None:
            kill(self._process)


@contextmanager
def own_server(settings: TaskSettings, *options: str, **changed: object) -> Iterator[Server]:
    """A Redis that the producer in this process uses meanwhile, with `changed` settings."""
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder:
        server = Server(Path(folder), *options)
        server.start()
        point_app(settings.model_copy(update={"broker_url": server.url} | changed))
        try:
            yield server
        finally:
            disconnect_app()
            server.end()
            point_app(settings)


@contextmanager
def guarded_server(folder: Path, password: str) -> Iterator[str]:
    """The URL of a Redis that asks for `password`, which no command line of its own shows."""
    port = free_port()
    with running(
        ["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder, text=True
    ) as server:
        assert server.stdin is not None
        server.stdin.write(f'port {port}\nbind 127.0.0.1\nsave ""\nrequirepass {password}\n')
        server.stdin.close()

        def answers() -> bool:
            with suppress(redis.ConnectionError), redis.Redis(port=port, password=password) as client:
                return bool(client.ping())
            return False

        until(answers)
        yield f"redis://:{password}@127.0.0.1:{port}/0"
