"""Redis goes away and comes back: producers are told, workers go on."""

from __future__ import annotations

import gc
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

from tasks import infer
from tasks.settings import TaskSettings
from tests.cluster.conftest import disconnect_app, point_app, until, workers
from tests.processes import kill

ASK: dict[str, Any] = {"model_type": "text", "model_name": "bert", "inputs": "hello", "browser": "chrome"}


class Server:
    """A Redis that can be ended and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "r.sock"
        self._command = ["redis-server", "--unixsocket", str(self.socket), "--port", "0", "--save", ""]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, cwd=self.socket.parent)
        until(self._answers)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(self.socket)) as client:
            return bool(client.ping())
        return False

    def end(self) -> None:
        if self._process is not None:
            kill(self._process)


@pytest.fixture
def server(settings: TaskSettings) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder:
        server = Server(Path(folder))
        server.start()
        point_app(settings.model_copy(update={"broker_url": f"redis+socket://{server.socket}"}))
        yield server
        disconnect_app()
        server.end()
        point_app(settings)


def test_producers_are_told_and_workers_go_on(server: Server, tmp_path: Path) -> None:
    with workers(tmp_path) as start:
        worker = start(WEBINFER_BROKER_URL=f"redis+socket://{server.socket}").ready()
        assert infer.delay(**ASK).get(timeout=60)["success"]
        server.end()
        before = time.monotonic()
        with pytest.raises(OperationalError):
            infer.delay(**ASK)
        assert time.monotonic() - before < 30, "told within seconds, also on a busy machine"
        until(lambda: "Trying again in" in worker.log.read_text())
        server.start()
        assert infer.delay(**ASK).get(timeout=60)["success"]
        assert worker.process.poll() is None


def test_a_failed_send_leaves_no_earlier_wait_blind(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "runs"
    url = f"redis+socket://{server.socket}"
    with workers(tmp_path) as start:
        start(WEBINFER_BROKER_URL=url, MEMORY_RUNNER_LOG=str(log)).ready()
        earlier = infer.delay(**ASK, options={"sleep_s": 4})
        until(log.exists)
        server.end()
        with pytest.raises(OperationalError):
            infer.delay(**ASK)
        server.start()
        assert earlier.get(timeout=30)["success"]


def test_a_result_is_forgotten_quietly_while_redis_is_away(server: Server, tmp_path: Path) -> None:
    url = f"redis+socket://{server.socket}"
    with workers(tmp_path) as start:
        start(WEBINFER_BROKER_URL=url).ready()
        assert infer.delay(**ASK).get(timeout=60)["success"]
        forgotten = infer.delay(**ASK, options={"sleep_s": 0.1})
        server.end()
        before = time.monotonic()
        del forgotten
        gc.collect()
        assert time.monotonic() - before < 10, "Celery's reconnecting takes twenty seconds"
        server.start()
        assert infer.delay(**ASK).get(timeout=60)["success"]
