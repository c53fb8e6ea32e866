"""From one look to the next: arrivals counted right, starting and stopping workers known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import (
    BreakerCounts,
    BreakerState,
    LaneStatus,
    PoolStatus,
    SessionStatus,
    SystemMemory,
    WorkerStatus,
)
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.scaling.values import Decision, Replica
from scheduler.autoscaling.estimates import QueueEstimates
from scheduler.autoscaling.signals import Snapshot, WorkerSnapshot, read_worker
from scheduler.autoscaling.watching import SILENCE_S, START_TIMEOUT_S, QueueWatch

QUEUE = "chrome-vision"


def worker(name: str, answered: int = 0, load: float = 0.5) -> WorkerSnapshot:
    return WorkerSnapshot(Replica(name), (QUEUE,), answered, load, frozenset({"m"}), 4.0, 30.0, 3.0)


def sight(*workers: WorkerSnapshot, depth: int = 0, in_flight: int = 0) -> Snapshot:
    found = {each.view.name: each for each in workers}
    return Snapshot(found, {QUEUE: depth}, {QUEUE: in_flight})


def decided(change: int, *stop: str, n: int = 1) -> Decision:
    return Decision(0.0, n, n + change, ("asked",), {}, QueueWatch(QUEUE).memory, stop)


@given(st.lists(st.tuples(st.floats(3, 9), st.integers(0, 100)), min_size=20, max_size=40))
def test_uneven_looks_do_not_change_what_is_counted(looks: list[tuple[float, int]]) -> None:
    """Whatever the looks' rhythm, arrivals at an even rate are estimated at that rate."""
    estimates, now, rate = QueueEstimates(), 0.0, 20.0
    estimates.note(now, 0, 0, 0.0)
    counted = 0
    for passed_s, _ in looks:
        now += passed_s
        n = round(now * rate) - counted
        counted += n
        estimates.note(now, n, n, 2.0)
    assert estimates.arrivals_per_s() == pytest.approx(rate, rel=0.15)
    assert estimates.service_s == pytest.approx(2.0 / rate, rel=0.05)
    assert estimates.answered_per_s == pytest.approx(rate, rel=0.05)


def test_arrivals_are_what_was_answered_and_what_piled_up() -> None:
    watch = QueueWatch(QUEUE)
    for k in range(13):
        view = watch.view(sight(worker("chrome@a", answered=20 * k), depth=30 * k, in_flight=8), 5.0 * k)
    assert view.arrivals_per_s == pytest.approx(10.0, rel=0.1)
    assert view.service_s == pytest.approx(0.5 / 4, rel=0.1)


def test_a_worker_that_misses_a_look_is_still_there_and_loses_no_count() -> None:
    watch = QueueWatch(QUEUE)
    counts = [20 * k for k in range(20)]
    for k, answered in enumerate(counts):
        here = () if k % 4 == 2 else (worker("chrome@a", answered),)
        view = watch.view(sight(*here), 5.0 * k)
        assert len(view.workers) == 1
    assert view.arrivals_per_s == pytest.approx(4.0, rel=0.15)
    assert not watch.view(sight(), 5.0 * k + SILENCE_S + 1).workers


def test_a_worker_that_begins_anew_counts_from_nought() -> None:
    watch = QueueWatch(QUEUE)
    for k in range(12):
        answered = 20 * k if k < 6 else 20 * (k - 6)
        view = watch.view(sight(worker("chrome@a", answered)), 5.0 * k)
    assert 2.5 < view.arrivals_per_s <= 4.1


def test_workers_on_their_way_count_until_they_come_or_never_come() -> None:
    watch = QueueWatch(QUEUE)
    watch.view(sight(worker("chrome@a")), 0.0)
    watch.note_applied(decided(+2), 0.0)
    names = [each.name for each in watch.view(sight(worker("chrome@a")), 5.0).workers]
    assert names == ["chrome@a", "starting-0", "starting-1"]
    come = watch.view(sight(worker("chrome@a"), worker("chrome-2@a")), 12.0)
    assert [each.is_starting for each in come.workers] == [False, False, True]
    assert come.start_s == 12.0
    late = watch.view(sight(worker("chrome@a"), worker("chrome-2@a")), START_TIMEOUT_S + 1)
    assert not any(each.is_starting for each in late.workers)


def test_a_worker_told_to_stop_is_no_capacity_and_no_new_one_when_it_is_gone() -> None:
    watch = QueueWatch(QUEUE)
    both = sight(worker("chrome@a"), worker("chrome-2@a"))
    watch.view(both, 0.0)
    watch.note_applied(decided(-1, "chrome-2@a", n=2), 0.0)
    assert [each.name for each in watch.view(both, 5.0).workers] == ["chrome@a"]
    assert watch.stopping == ("chrome-2@a",)
    assert [each.name for each in watch.view(sight(worker("chrome@a")), 40.0).workers] == ["chrome@a"]
    assert watch.stopping == ()


def test_a_rehearsal_starts_nobody() -> None:
    watch = QueueWatch(QUEUE)
    watch.view(sight(worker("chrome@a")), 0.0)
    watch.note_shown(decided(+2))
    assert len(watch.view(sight(worker("chrome@a")), 5.0).workers) == 1


def test_a_workers_answer_is_read() -> None:
    key = ModelKey.of("digits-vit", "r1", Backend.WASM, Precision.FP32)
    session = SessionStatus(
        "chrome-1",
        Browser.CHROME,
        health=80.0,
        lanes=(LaneStatus(True, (key,)), LaneStatus()),
        memory_bytes=4 << 30,
        started_ms=2500,
    )
    broken = replace(session, breaker=BreakerCounts(BreakerState.OPEN), lanes=())
    pool = PoolStatus(Browser.CHROME, sessions=(session, broken), load=0.75, busy_models=("digits-vit",))
    status = WorkerStatus(pool, (QUEUE,), 8, 7, SystemMemory(41.0, 16 << 30))
    found = read_worker("chrome@a", status.to_wire())
    assert found == WorkerSnapshot(
        Replica("chrome@a", 2, 1, 80.0, True, False, frozenset({"digits-vit"})),
        (QUEUE,),
        7,
        0.75,
        frozenset({"digits-vit"}),
        50.0,
        41.0,
        2.5,
    )
    assert found.view.is_usable


def test_a_worker_whose_only_session_has_an_open_breaker_is_no_capacity() -> None:
    broken = SessionStatus("chrome-1", Browser.CHROME, breaker=BreakerCounts(BreakerState.OPEN))
    found = read_worker("chrome@a", WorkerStatus(PoolStatus(Browser.CHROME, sessions=(broken,))).to_wire())
    assert found is not None and not found.view.is_usable


@pytest.mark.parametrize(
    "answer", [{"error": "this worker owns no browsers"}, {}, {"pool": {"browser": "lynx"}}]
)
def test_an_answer_that_is_no_status_is_passed_over(answer: dict[str, object]) -> None:
    assert read_worker("analytics@a", answer) is None
