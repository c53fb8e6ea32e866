"""Batches: the oldest goes, order holds, limits hold, nobody is lost, nobody starves."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.policies.batching import (
    BatchPolicy,
    Waiting,
    count_items,
    padding_share,
    take_batch,
)
from browser_runtime.policies.latencies import BatchCost

KEYS = ("bert", "vit", "whisper")
requests = st.builds(
    Waiting,
    ticket=st.just(0),
    key=st.sampled_from(KEYS),
    arrived_s=st.floats(0, 100),
    lengths=st.lists(st.floats(1, 512), min_size=1, max_size=4).map(tuple),
    size_bytes=st.integers(0, 1000),
    deadline_s=st.none() | st.floats(0, 200),
)
lines = st.lists(requests, max_size=20).map(
    lambda found: [
        Waiting(n, r.key, r.arrived_s, r.lengths, r.size_bytes, r.deadline_s) for n, r in enumerate(found)
    ]
)
costs = st.dictionaries(
    st.sampled_from(KEYS), st.builds(BatchCost, st.floats(0, 100), st.floats(0, 100)), max_size=3
)
policies = st.builds(
    BatchPolicy,
    max_items=st.integers(1, 40),
    max_bytes=st.integers(1, 5000),
    max_batch_ms=st.floats(1, 1000),
    max_padding=st.floats(0, 1),
    max_unmeasured_items=st.integers(1, 8),
    costs=costs,
)
NOW = 100.0


def take(line: list[Waiting], policy: BatchPolicy) -> list[Waiting]:
    return take_batch(line, policy, NOW)


@given(lines, policies)
def test_the_oldest_that_can_be_answered_goes_first(line: list[Waiting], policy: BatchPolicy) -> None:
    alive = [r for r in line if r.deadline_s is None or r.deadline_s > NOW]
    batch = take(line, policy)
    assert bool(batch) is bool(alive)
    if alive:
        assert batch[0].arrived_s == min(r.arrived_s for r in alive)


@given(lines, policies)
def test_one_key_in_order_of_arrival_and_none_too_late(line: list[Waiting], policy: BatchPolicy) -> None:
    batch = take(line, policy)
    assert len({r.key for r in batch}) <= 1
    assert all(a.arrived_s <= b.arrived_s for a, b in pairwise(batch))
    assert all(r.deadline_s is None or r.deadline_s > NOW for r in batch)


@given(lines, policies)
def test_limits_hold_wherever_there_was_a_choice(line: list[Waiting], policy: BatchPolicy) -> None:
    batch = take(line, policy)
    if len(batch) < 2:
        return
    n_items, cost = count_items(batch), policy.costs.get(batch[0].key)
    assert n_items <= policy.max_items
    assert sum(r.size_bytes for r in batch) <= policy.max_bytes
    assert padding_share(batch) <= policy.max_padding
    if cost is None:
        assert n_items <= policy.max_unmeasured_items
    else:
        assert cost.predict_ms(n_items) <= policy.max_batch_ms
        end_s = NOW + cost.predict_ms(n_items) / 1000
        assert all(r.deadline_s is None or end_s <= r.deadline_s for r in batch)


@given(lines, policies)
def test_a_line_is_worked_off_whole_and_nobody_is_taken_twice(
    line: list[Waiting], policy: BatchPolicy
) -> None:
    alive = [r for r in line if r.deadline_s is None or r.deadline_s > NOW]
    left, taken = list(line), list[int]()
    places: dict[int, int] = {}
    for turn in range(len(line) + 1):
        gone = {r.ticket for r in take(left, policy)}
        if not gone:
            break
        taken += sorted(gone)
        places |= dict.fromkeys(gone, turn)
        left = [r for r in left if r.ticket not in gone]
    assert sorted(taken) == [r.ticket for r in alive]
    for r in alive:  # no starvation: at most one batch for each that came before
        assert places[r.ticket] <= sum(other.arrived_s <= r.arrived_s for other in alive) - 1


@given(lines.filter(bool), policies, st.randoms(use_true_random=False))
def test_the_order_of_the_line_itself_does_not_matter(
    line: list[Waiting], policy: BatchPolicy, random: object
) -> None:
    if len({r.arrived_s for r in line}) < len(line):
        return
    assert take(line[::-1], policy) == take(line, policy)


@given(lines.filter(bool))
def test_without_limits_everything_alike_goes_together(line: list[Waiting]) -> None:
    policy = BatchPolicy(10**6, 10**9, 1e9, 1.0, costs=dict.fromkeys(KEYS, BatchCost(0, 0)))
    batch = take(line, policy)
    if batch:
        alive = [r for r in line if r.deadline_s is None or r.deadline_s > NOW]
        assert len(batch) == sum(r.key == batch[0].key for r in alive)


@given(st.lists(requests, min_size=1))
def test_padding_is_a_share(line: list[Waiting]) -> None:
    assert 0 <= padding_share(line) < 1
    assert padding_share([Waiting(0, "k", 0.0, (7.0,) * 5)] * 3) == 0


@given(st.integers(1, 20), st.integers(1, 10))
def test_a_batch_ends_before_the_first_deadline_in_it(n: int, fits: int) -> None:
    policy = BatchPolicy(costs={"k": BatchCost(0.0, 10.0)}, max_batch_ms=1e6)
    deadline_s = NOW + fits * 0.010 + 0.001
    line = [Waiting(k, "k", float(k), deadline_s=deadline_s) for k in range(n)]
    assert count_items(take(line, policy)) == min(n, fits)
    # one that cannot make it anyway is passed over, those behind it are not
    hurried = Waiting(99, "k", 0.5, deadline_s=NOW + 0.001)
    assert 99 not in {r.ticket for r in take([*line, hurried], policy)}
