"""Live states survive the wire, and what a newer version adds is passed over."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import (
    BreakerCounts,
    BreakerState,
    LaneStatus,
    PoolStatus,
    SessionState,
    SessionStatus,
    SystemMemory,
    WorkerStatus,
)
from browser_runtime.contract.vocabulary import Backend, Browser, Precision

KEY = ModelKey.of("digits-vit", "r1", Backend.WASM, Precision.FP32)
counts = st.integers(0, 1000)
sessions = st.builds(
    SessionStatus,
    session=st.text(max_size=9),
    browser=st.sampled_from(Browser),
    state=st.sampled_from(SessionState),
    lanes=st.lists(st.builds(LaneStatus, st.booleans(), st.just((KEY,)))).map(tuple),
    memory_bytes=st.none() | counts,
    health=st.floats(0, 100),
    backends=st.just({"wasm": True}),
    adapters=st.just({"wasm": Adapter("CPU", software=True)}),
    breaker=st.builds(BreakerCounts, st.sampled_from(BreakerState), counts),
)


@given(st.lists(sessions, max_size=3).map(tuple), counts)
def test_what_is_sent_is_read(found: tuple[SessionStatus, ...], n: int) -> None:
    pool = PoolStatus(Browser.CHROME, sessions=found, n_waiting=n)
    status = WorkerStatus(pool, ("chrome-vision",), 8, n, SystemMemory(41.0, 16 << 30))
    wire = json.loads(json.dumps(status.to_wire()))
    assert WorkerStatus.from_wire(wire) == status


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    wire = PoolStatus(Browser.EDGE).to_wire() | {"mood": "fine"}
    assert PoolStatus.from_wire(wire) == PoolStatus(Browser.EDGE)


@pytest.mark.parametrize("wrong", [{}, {"browser": "lynx"}, {"browser": "edge", "sessions": "all"}])
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        PoolStatus.from_wire(wrong)
