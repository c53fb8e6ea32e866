"""One lane's conversation without a socket: ids, strays, silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract import errors
from browser_runtime.link import frames
from browser_runtime.link.protocol import Answer, Beat, LaneProtocol, PageEvent, Stray, read_hello

HELLO = {
    "type": "hello",
    "protocol": 1,
    "token": "t",
    "session": "chrome-1",
    "lane": 0,
    "boot": "b",
}


def ok(number: int) -> bytes:
    return frames.encode({"type": "answer", "id": number, "ok": True, "value": {"n": number}})


@given(st.lists(st.sampled_from(["call", "cancel", "answer", "again"]), max_size=40), st.randoms())
def test_every_call_gets_at_most_one_answer(steps: list[str], random: st.Random) -> None:  # type: ignore[name-defined]
    protocol = LaneProtocol(lambda: 0.0)
    open_calls: set[int] = set()
    closed: set[int] = set()
    for step in steps:
        if step == "call":
            number, _ = protocol.call("run", {}, None)
            assert number not in open_calls | closed
            open_calls.add(number)
        elif step == "again" and closed:
            assert isinstance(protocol.receive(ok(random.choice(sorted(closed)))), Stray)
        elif open_calls and step in ("cancel", "answer"):
            number = random.choice(sorted(open_calls))
            if step == "cancel":
                protocol.cancel(number)
            else:
                assert protocol.receive(ok(number)) == Answer(number, {"n": number})
            open_calls.remove(number)
            closed.add(number)
        assert protocol.pending == open_calls


def test_an_error_answer_is_our_error() -> None:
    protocol = LaneProtocol(lambda: 0.0)
    number, _ = protocol.call("load", {}, 1.0)
    told = {"code": "Unsupported", "args": ["webnn", "no backend"], "stack": ""}
    answer = protocol.receive(frames.encode({"type": "answer", "id": number, "ok": False, "error": told}))
    assert isinstance(answer, Answer)
    assert isinstance(answer.error, errors.Unsupported)


def test_a_call_that_does_not_fit_a_frame_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 100)
    protocol = LaneProtocol(lambda: 0.0)
    with pytest.raises(
        errors.TooLarge, match=r"the request holds \d+ bytes, more than the 100 bytes allowed"
    ):
        protocol.call("run", {"items": [b"x" * 200]}, 1.0)
    assert not protocol.pending


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), np.zeros(1, "complex64"), {"$blob": 0}])
def test_a_call_that_cannot_travel_is_bad_input(value: object) -> None:
    protocol = LaneProtocol(lambda: 0.0)
    with pytest.raises(errors.BadInput, match="a call to echo is unable to travel"):
        protocol.call("echo", {"value": value}, 1.0)
    assert not protocol.pending


def test_silence_is_measured_on_the_injected_clock() -> None:
    now = 10.0
    protocol = LaneProtocol(lambda: now)
    now = 12.5
    assert protocol.silent_s() == 2.5
    protocol.receive(frames.encode({"type": "beat"}))
    assert protocol.silent_s() == 0


def test_beats_events_and_unknown_frames_have_names() -> None:
    protocol = LaneProtocol(lambda: 0.0)
    assert protocol.receive(frames.encode({"type": "beat"})) == Beat()
    assert protocol.receive(
        frames.encode({"type": "event", "event": "device-lost", "text": "x"})
    ) == PageEvent("device-lost", "x")
    assert isinstance(protocol.receive(frames.encode({"type": "???"})), Stray)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "beat"}, "no hello"),
        ({"protocol": 2}, "protocol 2"),
        ({"token": 3}, "lacks a field"),
        ({"lane": "0"}, "lacks a field"),
    ],
)
def test_a_wrong_hello_is_refused_by_name(change: dict[str, object], told: str) -> None:
    assert read_hello(frames.encode(HELLO)).session == "chrome-1"
    with pytest.raises(errors.BadRequest, match=told):
        read_hello(frames.encode(HELLO | change))
