"""A request on the wire: what went in comes out, and whatever else lies there is refused by name."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from tasks.routing.router import Route, read_route

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FULL = Request(
    Family.AUDIO,
    "tones-whisper",
    {"sounds": []},
    (Backend.WEBGPU, Backend.WASM),
    Precision.FP16,
    Browser.FIREFOX,
    {"language": "en", "max_new_tokens": 4},
    single=False,
    synthetic=True,
    deadline_s=2.5,
    notes=("cut",),
)
WIRE = FULL.to_wire()


def test_what_goes_in_comes_out() -> None:
    assert Request.from_wire(WIRE) == FULL
    bare = {name: WIRE[name] for name in ("family", "model_name", "inputs", "protocol")}
    assert Request.from_wire(bare) == Request(Family.AUDIO, "tones-whisper", {"sounds": []})


def test_a_field_of_a_newer_producer_is_named_with_the_version_that_does_not_know_it() -> None:
    with pytest.raises(BadInput) as refused:
        Request.from_wire(WIRE | {"drawn_key": 5})
    told = str(refused.value)
    assert f"the field 'drawn_key', which webinfer {version('webinfer')} does not know" in told
    assert told.endswith("if the producer's version is newer, update the worker.")
    assert "\n" not in told


def test_a_seed_that_an_older_worker_would_refuse_is_sent_only_where_one_was_drawn() -> None:
    assert "drawn_seed" not in WIRE
    chat = Request(Family.TEXT_GENERATION, "numbers-llama", {"texts": ["5"]}, drawn_seed=7)
    assert Request.from_wire(chat.to_wire()) == chat


@given(st.dictionaries(st.sampled_from(sorted(WIRE)), JUNK, min_size=1))
def test_junk_in_any_field_is_refused_or_is_allowed(junk: dict[str, Any]) -> None:
    try:
        request = Request.from_wire(WIRE | junk)
    except BadInput as error:
        assert len(str(error)) < 2000
    else:
        assert Request.from_wire(request.to_wire()) == request
        assert type(request.single) is type(request.synthetic) is bool
        assert request.deadline_s is None or 0 < request.deadline_s < 1e6


@given(JUNK)
def test_junk_in_the_place_of_a_request_or_route_is_refused(junk: Any) -> None:
    with pytest.raises(BadInput):
        Request.from_wire(junk)
    if junk is not None and junk != {}:
        with pytest.raises(BadInput):
            read_route(junk)


def test_a_route_comes_out_as_it_went_in() -> None:
    route = Route("chrome-vision", "the prior", preferred="edge-text").to_wire()
    again = {"queue": "edge-text", "reason": "next", "after": {**route, "code": "Unsupported", "error": "no"}}
    assert read_route(route) == route
    assert read_route(again) == again
    assert read_route(None) == {}


def test_an_error_shows_no_more_of_a_value_than_a_line() -> None:
    for junk in ("x" * 1_000_000, ["wasm"] * 1_000_000, {"deep": ["x" * 1000] * 1000}, 10**9000, object()):
        with pytest.raises(BadInput) as refused:
            Request.from_wire(WIRE | {"model_name": junk})
        assert len(str(refused.value)) < 300
