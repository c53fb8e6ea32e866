"""Whatever lies in a queue is a task's message, or is refused in a sentence; nothing else is ever raised."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadRequest, TooLarge
from tasks.payloads.codec import MAX_MESSAGE_BYTES
from workers.delivery.envelope import check_item, check_message, find_embedded, find_headers

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
HEADERS = ("id", "task", "root_id", "group", "timelimit", "eta", "expires", "retries", "stamps", "shadow")


def message(payload: Any = None, properties: Any = None, body: bytes = b"", **headers: Any) -> Any:
    """A kombu message, as far as it is looked at."""
    return SimpleNamespace(
        headers={"id": "an-id", "task": "infer"} | headers,
        properties=properties or {},
        payload=[[], {}, None] if payload is None else payload,
        body=body,
    )


@given(st.dictionaries(st.sampled_from(HEADERS), JUNK), st.dictionaries(st.text(max_size=3), JUNK), JUNK)
def test_any_junk_is_a_task_or_refused(headers: dict[str, Any], properties: Any, payload: Any) -> None:
    junk = message(payload, properties, **headers)
    try:
        check_message(junk)
    except BadRequest as error:
        assert str(error)
    assert isinstance(find_embedded(junk), dict)


@given(JUNK | st.binary(max_size=20) | st.lists(st.dictionaries(st.just("headers"), JUNK), max_size=2))
def test_any_item_is_a_message_or_refused(item: Any) -> None:
    with pytest.raises(BadRequest):
        check_item(item)
    assert isinstance(find_headers(item), dict)


@pytest.mark.parametrize("place", ["headers", "properties", "name"])
def test_half_a_character_is_refused_before_anybody_has_to_write_it_again(place: str) -> None:
    """JSON spells it, and no message, result or event can hold it."""
    parts: dict[str, Any] = json.loads('{"x": ["\\ud800"], "name": {"\\udfff": 1}}')
    item = {
        "properties": {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": "q"}},
        "headers": {},
    }
    check_item(item | {"headers": {"stamps": "\U0001f600 ü"}})
    if place == "name":
        item["headers"] = parts["name"]
    else:
        item[place]["x"] = parts["x"]  # type: ignore[assignment]
    with pytest.raises(BadRequest, match="half a character"):
        check_item(item)
    with pytest.raises(BadRequest, match="half a character"):
        check_message(message([[], {}, {"chain": [{"task": "infer", "args": parts["x"]}]}]))


def test_what_celery_sends_is_a_task() -> None:
    """Every header and part that Celery's own producer writes, for a task with all there is."""
    app = Celery("plain", broker="memory://", set_as_current=False)
    step = app.signature("next", args=(1,), kwargs={"a": 2}, queue="celery")
    sent = app.amqp.as_task_v2(
        "an-id",
        "infer",
        [1],
        {"inputs": "a"},
        countdown=5,
        expires=60.0,
        retries=1,
        group_id="a-group",
        group_index=0,
        chain=[step],
        chord=step,
        callbacks=[step],
        errbacks=[step],
        time_limit=9,
        soft_time_limit=1.5,
        root_id="root",
        parent_id="parent",
        shadow="seen as",
        ignore_result=True,
        stamped_headers=["who"],
        who="me",
    )
    properties = sent.properties | {"priority": 3, "delivery_tag": "tag"}
    check_message(message(list(sent.body), properties, **sent.headers))
    assert set(find_embedded(message(list(sent.body)))) == {"callbacks", "errbacks", "chain", "chord"}


def test_a_body_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge, match="the message holds"):
        check_message(message(body=bytes(MAX_MESSAGE_BYTES + 1)))


def test_headers_are_found_wherever_they_lie() -> None:
    item = {"headers": {"id": "an-id"}}
    entry = '[{"headers": {"id": "an-id"}}, "exchange", "key"]'
    assert find_headers(item) == find_headers(entry) == find_headers(entry.encode()) == {"id": "an-id"}
