"""What all items of a request hold together: it travels, or it is refused where it is given."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.contract.errors import TooLarge
from tasks import app, infer
from tasks.keys import UNACKED
from tests.cluster.conftest import Worker, until

TEXT = {"model_type": "text", "model_name": "bert", "browser": "chrome"}


def ask(texts: list[str], **more: Any) -> Any:
    return infer.delay(**TEXT, inputs=texts, **more)


def test_eight_megabytes_of_text_are_answered(worker: Worker) -> None:
    texts = ["a" * 100_000] * 80
    reply = ask(texts).get(timeout=60)
    assert [output["embedding"][0] for output in reply["output"]] == [100_000] * 80


def test_more_text_than_a_message_holds_is_refused_where_it_is_given(worker: Worker) -> None:
    with pytest.raises(TooLarge, match=r"inputs holds \d+ bytes, more than the 16777216 bytes allowed"):
        ask(["\N{ROCKET}" * 100_000] * 85)
    assert app.redis.llen("chrome-vision") == 0


def test_a_reply_that_no_message_holds_is_told(worker: Worker) -> None:
    with pytest.raises(TooLarge, match="a message without its arrays holds"):
        ask(["a"], options={"long": 33 << 20}).get(timeout=60)
    assert ask(["a"], options={"long": 8 << 20}).get(timeout=60)["output"][0]["text"] == "x" * (8 << 20)
    until(lambda: app.redis.hlen(UNACKED) == 0)
