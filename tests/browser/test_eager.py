"""`infer` run in its caller's own process, as Celery's eager mode does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import group

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.store import BUILTIN_FOLDER
from tasks import app, infer
from workers import in_process

ASK: dict[str, Any] = {
    "model_type": "vision",
    "model_name": "digits-vit",
    "inputs": str(BUILTIN_FOLDER / "digits-vit/examples/7.png"),
    "browser": "chrome",
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    in_process.close()


def label(reply: dict[str, Any]) -> str:
    return str(reply["output"]["labels"][0]["label"])


@pytest.mark.browser("chrome")
async def test_a_request_runs_in_its_callers_process_even_beside_a_running_loop() -> None:
    result = infer.apply(kwargs=ASK)
    assert label(result.get()) == "7" and result.get()["is_simulation"] is False
    assert result.get()["routing"]["reason"] == "run in the process of its caller"
    assert label(infer(**ASK)) == "7"
    app.conf.task_always_eager = True
    try:
        assert label(infer.delay(**ASK).get()) == "7"
        assert [label(reply) for reply in group(infer.s(**ASK) for _ in range(2))().get()] == ["7", "7"]
        with pytest.raises(BadInput):
            infer.delay(**ASK | {"model_type": "smell"})
    finally:
        app.conf.task_always_eager = False
