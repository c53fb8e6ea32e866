"""Flower beside a real worker: tasks are readable, and its buttons change the number of sessions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import infer
from tests.cluster.conftest import Worker, await_ready, until
from tests.processes import stop

pytest.importorskip("flower", reason="the extra `monitor` is not installed")


@pytest.fixture(scope="module")
def flower(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Flower that has seen the worker."""
    log = tmp_path_factory.mktemp("flower") / "log"
    command = [sys.executable, "-m", "celery", "-A", "webinfer", "flower", "--address=127.0.0.1", "--port=0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | {"FLOWER_UNAUTHENTICATED_API": "1"}
        )
    try:
        await_ready(log, process, "Visit me at")
        address = re.findall(r"Visit me at (http://\S+:\d+)", log.read_text())[0] + "/api"
        until(lambda: worker.name in fetch(f"{address}/workers?refresh=1"), 60)
        yield address
    finally:
        stop(process)


def fetch(address: str, data: bytes | None = None) -> Any:
    """The JSON at `address`; empty while nothing listens there."""
    with suppress(OSError), urllib.request.urlopen(address, data, timeout=60) as answer:
        return json.loads(answer.read())
    return {}


def test_flower_shows_words_in_the_place_of_tensors(flower: str, tmp_path: Path) -> None:
    picture = np.zeros((64, 48, 3), np.uint8)
    result = infer.delay(model_type="vision", model_name="vit-base", inputs=picture, options={"large": 5000})
    result.get(timeout=60)
    until(lambda: fetch(f"{flower}/tasks").get(result.id, {}).get("state") == "SUCCESS")
    task = fetch(f"{flower}/tasks")[result.id]
    assert task["name"] == "infer" and "1 image 48x64" in task["kwargs"]
    assert task["result"] == "vision vit-base in chrome on wasm, 0.1 ms: float32[5000]"
    assert "array" not in json.dumps(task)
    assert 0 <= task["runtime"] < 60


def test_flowers_buttons_change_the_sessions(flower: str, worker: Worker) -> None:
    def sessions() -> int:
        return int(fetch(f"{flower}/workers?refresh=1")[worker.name]["stats"]["pool"]["sessions"])

    name = urllib.parse.quote(worker.name)
    before = sessions()
    assert "Growing" in fetch(f"{flower}/worker/pool/grow/{name}?n=2", b"")["message"]
    until(lambda: sessions() == before + 2)
    fetch(f"{flower}/worker/pool/shrink/{name}?n=2", b"")
    until(lambda: sessions() == before)
