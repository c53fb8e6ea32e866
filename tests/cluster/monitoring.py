"""A monitor as a process, what it answers, and sessions that tell it of themselves by real events."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import (
    BreakerCounts,
    BreakerState,
    FailingModel,
    FailingModels,
    LaneStatus,
    SessionStatus,
)
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from tasks import app
from tests.cluster.conftest import await_ready
from tests.processes import stop

N_SESSIONS, PER_WORKER = 500, 8
HOSTILE = "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=2>"
PAIR = "watcher:s3cret"


@contextmanager
def flower(folder: Path, *options: str, **environment: str) -> Iterator[str]:
    """The address of a running `celery -A webinfer webinfer-flower`."""
    log = folder / "flower.log"
    command = [sys.executable, "-m", "celery", "-A", "webinfer", "webinfer-flower", "--port=0", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | environment)
    try:
        await_ready(log, process, "Connected to")
        yield re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())[0]
        assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    finally:
        stop(process)


def get(address: str, pair: str = PAIR) -> tuple[int, bytes]:
    """Status and body."""
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"} if pair else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def read(address: str) -> Any:
    status, body = get(address)
    assert status == 200, body
    return json.loads(body)


def health(number: int) -> dict[str, Any]:
    """What a session tells; the third's names would be scripts if anybody let them."""
    browser = (Browser.CHROME, Browser.FIREFOX, Browser.EDGE)[number % 3]
    model = HOSTILE if number == 3 else "digits-vit"
    key = ModelKey.of(model, "abc", Backend.WEBGPU, Precision.FP32)
    status = SessionStatus(
        HOSTILE if number == 3 else f"{browser}-{number}",
        browser,
        build=f"{browser} 1.0",
        lanes=(LaneStatus(number % 4 == 0, (key,)),),
        memory_bytes=400_000_000 + number,
        runs=number,
        backends={"webgpu": True, "wasm": True},
        adapters={"webgpu": Adapter("google swiftshader", software=True)},
        health=100.0 - number % 50,
        health_factors={"latency": float(number % 50)},
        breaker=BreakerCounts(BreakerState.OPEN if number == 7 else BreakerState.CLOSED),
    )
    return status.to_wire()


def failing_models() -> FailingModels:
    """Two models that fail: one is refused, the other has failed once."""
    refused = FailingModel(
        BreakerCounts(BreakerState.OPEN, failures=5, n_openings=1), f"ERROR_CODE 1 {HOSTILE}"
    )
    failed = FailingModel(BreakerCounts(failures=1), "out of data bounds")
    keys = (ModelKey.of(name, "abc", None, Precision.FP32) for name in ("odd-graph", "short-table"))
    return FailingModels(dict(zip(keys, (refused, failed), strict=True)))


def publish(n_sessions: int) -> None:
    """Real events of so many sessions, and of the models that fail in the first of their workers."""
    with app.connection_for_write() as connection:
        for first in range(0, n_sessions, PER_WORKER):
            worker = f"worker-{first // PER_WORKER}@host"
            with app.events.Dispatcher(connection, hostname=worker) as dispatcher:
                for number in range(first, min(first + PER_WORKER, n_sessions)):
                    dispatcher.send("browser-health", **health(number))
                models = failing_models() if first == 0 else FailingModels()
                dispatcher.send("model-health", **models.to_wire())
