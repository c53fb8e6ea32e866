"""What holds for every decision on a queue's workers, over generated queues."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.scaling.drain import sole_models
from browser_runtime.scaling.values import GrowthRecord, Level, Replica, ScalingMemory
from scheduler.autoscaling.policy import count_waiting, decide_workers
from scheduler.autoscaling.values import QueueView, WorkerPolicy

POLICY = WorkerPolicy(max_replicas=8)
MODELS = ("a", "b", "c")


@st.composite
def workers(draw: st.DrawFn) -> tuple[Replica, ...]:
    n = draw(st.integers(0, 10))
    return tuple(
        Replica(
            f"w{k}",
            n_busy=draw(st.integers(0, 1)),
            health=draw(st.sampled_from([100.0, 20.0])),
            is_starting=draw(st.booleans()),
            warm_models=frozenset(draw(st.sets(st.sampled_from(MODELS)))),
        )
        for k in range(n)
    )


LEVELS = st.builds(Level, n_regrets=st.integers(0, 3), left_s=st.sampled_from([-math.inf, 900.0]))


@st.composite
def memories(draw: st.DrawFn) -> ScalingMemory:
    return ScalingMemory(
        since_s=draw(st.sampled_from([math.inf, 0.0, 900.0])),
        last_change_s=draw(st.sampled_from([-math.inf, 900.0, 999.0])),
        levels=tuple(draw(st.lists(LEVELS, max_size=9))),
        wishes=tuple((at, draw(st.integers(0, 8))) for at in draw(st.lists(st.floats(900, 999), max_size=3))),
        growth=draw(st.sampled_from([None, GrowthRecord(950.0, 1, 5.0)])),
    )


VIEWS = st.builds(
    QueueView,
    queue=st.just("chrome-vision"),
    workers=workers(),
    depth=st.integers(0, 500),
    in_flight=st.integers(0, 80),
    arrivals_per_s=st.floats(0, 50),
    forecast_per_s=st.floats(0, 50),
    answered_per_s=st.one_of(st.none(), st.floats(0, 50)),
    service_s=st.one_of(st.none(), st.floats(0.001, 5)),
    start_s=st.floats(1, 60),
    memory_percent=st.floats(0, 100),
    worker_memory_percent=st.one_of(st.none(), st.floats(0.5, 30)),
    busy_models=st.frozensets(st.sampled_from(MODELS)),
    memory=memories(),
)
POLICIES = st.builds(
    lambda least, more: replace(POLICY, min_replicas=least, max_replicas=max(least + more, 1)),
    st.integers(0, 3),
    st.integers(0, 8),
)


@given(VIEWS, POLICIES)
def test_the_target_moves_towards_the_bounds_and_always_has_a_reason(
    view: QueueView, policy: WorkerPolicy
) -> None:
    decision = decide_workers(view, 1000.0, policy)
    n = len(view.workers)
    assert decision.reasons and all(decision.reasons)
    assert min(n, policy.min_replicas) <= decision.target <= max(n, policy.max_replicas)
    if n > policy.max_replicas:
        assert decision.target == policy.max_replicas
    if n == 0 and policy.min_replicas:
        assert decision.target >= 1


@given(VIEWS, POLICIES)
def test_who_stops_is_there_once_and_as_many_as_go(view: QueueView, policy: WorkerPolicy) -> None:
    decision = decide_workers(view, 1000.0, policy)
    names = [worker.name for worker in view.workers]
    assert len(set(decision.drain)) == len(decision.drain) == max(-decision.change, 0)
    assert set(decision.drain) <= set(names)


@given(VIEWS, POLICIES)
def test_never_the_only_warm_holder_of_a_busy_model(view: QueueView, policy: WorkerPolicy) -> None:
    """Unless there are more workers than allowed: that limit is a person's."""
    if len(view.workers) > policy.max_replicas:
        return
    left = list(view.workers)
    for name in decide_workers(view, 1000.0, policy).drain:
        worker = next(each for each in left if each.name == name)
        assert not sole_models(worker, [each for each in left if not each.is_starting], view.busy_models)
        left.remove(worker)


@given(VIEWS)
def test_nothing_grows_into_full_memory(view: QueueView) -> None:
    decision = decide_workers(view, 1000.0, POLICY)
    if view.memory_percent > POLICY.memory_percent and view.workers:
        assert decision.change <= 0
    if view.worker_memory_percent and decision.change > 1:
        used = view.memory_percent + decision.change * view.worker_memory_percent
        assert used <= POLICY.memory_percent + 1e-6


@given(VIEWS)
def test_a_queue_within_its_bounds_changes_at_most_once_a_cool_down(view: QueueView) -> None:
    decision = decide_workers(view, 1000.0, POLICY)
    cools = 1000.0 - view.memory.last_change_s < POLICY.cool_down_s
    usable = any(worker.is_usable for worker in view.workers)
    if cools and usable and POLICY.min_replicas <= len(view.workers) <= POLICY.max_replicas:
        assert decision.change == 0


@given(VIEWS, st.integers(1, 400))
def test_more_waiting_never_means_fewer_workers(view: QueueView, more: int) -> None:
    fewer, greater = (
        decide_workers(each, 1000.0, POLICY) for each in (view, replace(view, depth=view.depth + more))
    )
    assert greater.target >= fewer.target


@given(VIEWS, st.floats(0, 50))
def test_more_arrivals_never_mean_fewer_workers(view: QueueView, more: float) -> None:
    fewer, greater = (
        decide_workers(each, 1000.0, POLICY)
        for each in (view, replace(view, forecast_per_s=view.forecast_per_s + more))
    )
    assert greater.target >= fewer.target


def queue(*workers: Replica, **more: object) -> QueueView:
    return QueueView("chrome-vision", workers, **more)  # type: ignore[arg-type]


READY = Replica("chrome@a", n_busy=1)
STARTING = Replica("starting-0", is_starting=True)


def test_starting_workers_count() -> None:
    view = queue(READY, depth=100, in_flight=8, arrivals_per_s=4.0, service_s=0.5)
    first = decide_workers(view, 0.0, POLICY)
    assert first.change > 0
    starting = tuple(replace(STARTING, name=f"starting-{k}") for k in range(first.change))
    again = replace(view, workers=(READY, *starting), memory=first.memory)
    assert decide_workers(again, 60.0, POLICY).target <= first.target + 1


def test_what_workers_have_prefetched_waits_too() -> None:
    """An empty list is not an empty queue: KEDA's redis-lists scaler sees only the list."""
    assert count_waiting(queue(READY, depth=0, in_flight=8)) == 7
    view = queue(READY, in_flight=200, arrivals_per_s=1.0, service_s=0.5)
    assert decide_workers(view, 0.0, POLICY).change > 0


def test_a_dead_workers_messages_wake_an_empty_queue() -> None:
    asleep = replace(POLICY, min_replicas=0)
    assert decide_workers(queue(), 0.0, asleep).target == 0
    assert decide_workers(queue(in_flight=3), 0.0, asleep).target == 1


def test_a_backlog_that_is_gone_before_a_worker_is_up_starts_none() -> None:
    view = queue(READY, depth=15, in_flight=1, arrivals_per_s=0.1, service_s=0.5, start_s=20.0)
    assert decide_workers(view, 0.0, POLICY).change == 0
    assert decide_workers(replace(view, depth=150), 0.0, POLICY).change > 0


def test_arrivals_that_are_forecast_start_a_worker_before_they_come() -> None:
    view = queue(READY, arrivals_per_s=0.5, forecast_per_s=8.0, service_s=0.5)
    assert decide_workers(view, 0.0, POLICY).change > 0
    assert decide_workers(replace(view, forecast_per_s=0.5), 0.0, POLICY).change == 0


def test_memory_is_kept_for_those_that_start() -> None:
    view = queue(READY, arrivals_per_s=30.0, service_s=0.5, memory_percent=70.0, worker_memory_percent=8.0)
    assert decide_workers(view, 0.0, POLICY).change == 1
    assert decide_workers(replace(view, workers=(READY, STARTING)), 0.0, POLICY).change == 0


def test_a_backlog_that_one_worker_would_take_long_to_clear_starts_a_second() -> None:
    """From a real burst: 700 waiting, and a worker that answers hardly more than what comes."""
    view = queue(
        READY, depth=700, in_flight=8, arrivals_per_s=67.0, answered_per_s=75.0, service_s=0.013, start_s=5.0
    )
    assert decide_workers(view, 0.0, POLICY).target == 2


def test_an_unhealthy_worker_is_made_up_for() -> None:
    sick = replace(READY, health=10.0)
    view = queue(sick, arrivals_per_s=1.0, service_s=0.2)
    assert decide_workers(view, 0.0, POLICY).target == 2


def test_where_the_machine_is_the_limit_no_further_worker_starts() -> None:
    memory = ScalingMemory(0.0, 0.0, growth=GrowthRecord(0.0, 1, 10.0))
    view = queue(
        READY,
        replace(READY, name="chrome-2@a"),
        depth=400,
        arrivals_per_s=30.0,
        answered_per_s=10.4,
        service_s=0.1,
        memory=memory,
    )
    decision = decide_workers(view, 60.0, POLICY)
    assert decision.change == 0
    assert "the machine is the limit" in decision.reasons[-1]
    assert decide_workers(replace(view, answered_per_s=19.0), 60.0, POLICY).change > 0


def test_memory_pressure_lets_one_go() -> None:
    view = queue(READY, replace(READY, name="chrome-2@a", n_busy=0), memory_percent=97.0)
    decision = decide_workers(view, 0.0, POLICY)
    assert decision.drain == ("chrome-2@a",)
    assert "memory" in decision.reasons[0]


@pytest.mark.parametrize("busy", [True, False])
def test_the_last_holder_of_a_busy_model_keeps_its_worker(busy: bool) -> None:
    held = [replace(READY, name=name, n_busy=0, warm_models=frozenset({name})) for name in MODELS[:2]]
    view = queue(*held, busy_models=frozenset(MODELS if busy else ()), memory=ScalingMemory(0.0))
    decision = decide_workers(view, 1000.0, POLICY)
    assert decision.change == (0 if busy else -1)
    assert ("only warm holder" in decision.reasons[0]) is busy


def test_the_decision_says_why_in_plain_values() -> None:
    decision = decide_workers(queue(READY, depth=3), 0.0, POLICY)
    assert decision.target == decision.n + 1 == 2
    assert "3" in decision.reason and decision.factors["depth"] == 3
