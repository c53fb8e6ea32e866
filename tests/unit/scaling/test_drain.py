"""Draining: nobody loses the last warm copy of a model that is in use."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.scaling.drain import choose_drain, sole_models
from browser_runtime.scaling.values import Replica

MODELS = ("bert", "vit", "whisper")
model_sets = st.frozensets(st.sampled_from(MODELS))
views = st.builds(
    Replica,
    name=st.just(""),
    n_lanes=st.integers(1, 3),
    n_busy=st.integers(0, 3),
    health=st.floats(0, 100),
    breaker_allows=st.booleans(),
    is_starting=st.booleans(),
    warm_models=model_sets,
)
pools = st.lists(views, max_size=8).map(
    lambda found: [replace(view, name=f"s{n}") for n, view in enumerate(found)]
)


@given(pools, model_sets)
def test_the_only_warm_holder_of_a_busy_model_never_goes(
    sessions: list[Replica], busy: frozenset[str]
) -> None:
    name = choose_drain(sessions, busy)
    if name is None:
        return
    gone = next(s for s in sessions if s.name == name)
    assert not gone.is_starting
    warm_left = {
        m for s in sessions if s.name != name and s.is_usable and not s.is_starting for m in s.warm_models
    }
    assert gone.warm_models & busy <= warm_left


@given(pools, model_sets)
def test_someone_goes_unless_all_are_needed(sessions: list[Replica], busy: frozenset[str]) -> None:
    running = [s for s in sessions if not s.is_starting]
    needed = [bool(sole_models(s, running, busy)) for s in running]
    assert (choose_drain(sessions, busy) is None) is all(needed)
    assert (choose_drain(sessions, busy, force=True) is None) is (not sessions)


@given(pools, model_sets)
def test_the_unusable_go_first_then_the_idle(sessions: list[Replica], busy: frozenset[str]) -> None:
    name = choose_drain(sessions, busy)
    gone = next((s for s in sessions if s.name == name), None)
    if gone is None or not gone.is_usable:
        return
    others = [s for s in sessions if not s.is_starting and not sole_models(s, sessions, busy)]
    assert all(s.is_usable for s in others)
    assert all(s.n_busy / s.n_lanes >= gone.n_busy / gone.n_lanes for s in others)


@given(pools, model_sets, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(sessions: list[Replica], busy: frozenset[str], random: object) -> None:
    assert choose_drain(sessions, busy) == choose_drain(sessions[::-1], busy)
