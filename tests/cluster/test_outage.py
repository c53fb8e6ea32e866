"""Redis goes away and comes back: producers are told, workers go on."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain
from kombu.exceptions import OperationalError

from tasks import echo, infer
from tasks.settings import TaskSettings
from tests.cluster.conftest import until, workers
from tests.cluster.redis_server import Server, own_server
from tests.cluster.steering import word

ASK: dict[str, Any] = {"model_type": "text", "model_name": "bert", "inputs": "hello", "browser": "chrome"}


@pytest.fixture
def server(settings: TaskSettings) -> Iterator[Server]:
    with own_server(settings) as server:
        yield server


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
        earlier = infer.delay(**ASK, options={"until": str(tmp_path / "again")})
        until(log.exists)
        server.end()
        with pytest.raises(OperationalError):
            infer.delay(**ASK)
        server.start()
        (tmp_path / "again").touch()
        assert earlier.get(timeout=60)["success"]


def test_a_result_is_forgotten_quietly_while_redis_is_away(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis+socket://{server.socket}"
    with workers(tmp_path) as start:
        start(WEBINFER_BROKER_URL=url).ready()
        assert infer.delay(**ASK).get(timeout=60)["success"]
        forgotten = infer.delay(**ASK)
        server.end()
        del forgotten
        gc.collect()
        assert "Connection to Redis lost: Retry" not in caplog.text, "Celery tries twenty times, for 20 s"
        server.start()
        assert infer.delay(**ASK).get(timeout=60)["success"]


# The outcome is on its way back, or (in stock Celery) waits for Redis to be stored as a failure.
WILL_BE_STORED = r"outcome not reported|Retry \(\d+/20\)"
# On disk at once: what was sent is there after a restart.
KEEPS = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


def test_a_step_of_a_chain_that_cannot_be_sent_fails_nothing(settings: TaskSettings, tmp_path: Path) -> None:
    """Celery would store the outage as the failure of the step before, as soon as it is over."""
    log, go_on = tmp_path / "runs", tmp_path / "go-on"
    first = infer.s(**ASK, options={"until": str(go_on)})
    with own_server(settings, *KEEPS) as server, workers(tmp_path) as start:
        worker = start(WEBINFER_BROKER_URL=server.url, MEMORY_RUNNER_LOG=str(log)).ready()
        last = chain(first, echo.s(browser="chrome")).delay()
        until(log.exists)
        server.end()
        go_on.touch()
        until(lambda: re.search(WILL_BE_STORED, worker.log.read_text()))
        server.start()
        assert last.get(timeout=60)["success"]


def test_a_stream_outlives_a_restart_of_redis(settings: TaskSettings, tmp_path: Path) -> None:
    """Longer than any client tries by itself: the pieces wait in the worker, and the reader goes on."""
    log, pieces = tmp_path / "said", list[str]()
    speech = {"model_type": "text_generation", "options": {"speak": 100, "sleep_s": 0.1}}
    with own_server(settings, *KEEPS) as server, workers(tmp_path) as start:
        start(WEBINFER_BROKER_URL=server.url, MEMORY_RUNNER_LOG=str(log)).ready()
        for piece in infer.stream(**ASK | speech):
            pieces.append(piece)
            if len(pieces) == 3:
                server.end()
                until(lambda: "said 60" in log.read_text())
                server.start()
    assert "".join(pieces) == "".join(map(word, range(100)))
    assert len(pieces) > 10, "it went on before the reply"
