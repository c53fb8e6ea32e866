"""Choosing: never an excluded lane, the score while nothing is measured, the measured time once it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Browser, Family
from browser_runtime.policies.choosing import choose_session
from browser_runtime.policies.scoring import Candidate, Need, prior_parts, prior_score
from browser_runtime.policies.weighing import find_exclusion, weigh_candidates

needs = st.builds(
    Need,
    family=st.sampled_from(Family),
    model_key=st.just("m"),
    preferred_browser=st.none() | st.sampled_from(Browser),
    backends=st.lists(st.sampled_from(PAGE_BACKENDS), unique=True).map(tuple),
    flags=st.frozensets(st.sampled_from(("compute_shaders", "precompile_shaders", "parallel_loading"))),
    remaining_ms=st.none() | st.floats(0, 1e4),
)
candidates = st.builds(
    Candidate,
    session=st.just(""),
    browser=st.sampled_from(Browser),
    platform=st.none() | st.sampled_from(PAGE_BACKENDS),
    lane=st.integers(0, 3),
    backends=st.lists(st.sampled_from(PAGE_BACKENDS), unique=True).map(tuple),
    n_ahead=st.integers(0, 3),
    queue_ahead_ms=st.none() | st.floats(0, 1e4),
    is_warm=st.booleans(),
    load_ms=st.none() | st.floats(0, 1e4),
    latency_ms=st.none() | st.floats(0, 1e4),
    evidence=st.floats(0, 64),
    free_memory_bytes=st.none() | st.integers(0, 10),
    model_bytes=st.none() | st.integers(0, 10),
    health=st.floats(0, 100),
    breaker_allows=st.booleans(),
)


def rename(found: list[Candidate]) -> list[Candidate]:
    return [replace(c, session=f"s{n}") for n, c in enumerate(found)]


crowds = st.lists(candidates, max_size=6).map(rename)


def enabled(candidate: Candidate) -> Candidate:
    """The same lane without anything that excludes it."""
    platform = candidate.platform or Backend.WASM
    return replace(candidate, breaker_allows=True, platform=platform, backends=(platform,), model_bytes=None)


able_crowds = st.lists(candidates.map(enabled), min_size=2, max_size=6).map(rename)
free_needs = needs.map(lambda need: replace(need, backends=()))
# Lanes that differ in nothing but what a test gives them.
ABLE = Candidate("", Browser.CHROME, Backend.WASM, backends=(Backend.WASM,))
anything = Need(Family.VISION)


def alike(values: list[dict[str, object]], base: Candidate = ABLE) -> list[Candidate]:
    return [replace(base, session=f"s{n}", **v) for n, v in enumerate(values)]  # type: ignore[arg-type]


def chosen(crowd: list[Candidate], need: Need) -> Candidate:
    choice = choose_session(crowd, need)
    assert choice is not None
    return next(c for c in crowd if (c.session, c.lane) == (choice.session, choice.lane))


@given(crowds, needs)
def test_an_excluded_lane_is_never_chosen(crowd: list[Candidate], need: Need) -> None:
    able = [c for c in crowd if not find_exclusion(c, need)]
    choice = choose_session(crowd, need)
    assert (choice is None) is (not able)
    if choice:
        winner = chosen(crowd, need)
        assert winner in able
        assert winner.breaker_allows
        assert not need.backends or winner.platform in need.backends
        assert winner.is_warm or (winner.model_bytes or 0) <= (winner.free_memory_bytes or 10)


@given(crowds, needs)
def test_the_order_of_the_candidates_does_not_matter(crowd: list[Candidate], need: Need) -> None:
    one, other = choose_session(crowd, need), choose_session(crowd[::-1], need)
    assert (one and (one.session, one.lane)) == (other and (other.session, other.lane))


@given(crowds, needs)
def test_lanes_that_cannot_take_it_change_nothing(crowd: list[Candidate], need: Need) -> None:
    able = [c for c in crowd if not find_exclusion(c, need)]
    one, other = choose_session(crowd, need), choose_session(able, need)
    assert (one and (one.session, one.expected_ms)) == (other and (other.session, other.expected_ms))


@given(able_crowds, free_needs)
def test_healthy_and_free_lanes_come_first(crowd: list[Candidate], need: Need) -> None:
    winner = chosen(crowd, need)
    assert winner.health >= 50 or all(c.health < 50 for c in crowd)
    if not winner.is_free and any(c.is_free for c in crowd if (c.health >= 50) is (winner.health >= 50)):
        assert winner.is_measured and winner.is_warm and winner.queue_ahead_ms is not None


@given(
    st.lists(
        st.fixed_dictionaries({"browser": st.sampled_from(Browser), "health": st.floats(50, 100)}),
        min_size=1,
        max_size=6,
    ),
    needs,
    st.booleans(),
)
def test_the_highest_score_wins_while_nothing_is_measured(
    values: list[dict[str, object]], need: Need, is_warm: bool
) -> None:
    need = replace(need, backends=())
    crowd = alike([v | {"is_warm": is_warm} for v in values])
    assert prior_score(chosen(crowd, need), need) == max(prior_score(c, need) for c in crowd)


def expected_ms(c: Candidate) -> float:
    return ((c.queue_ahead_ms or 0) + (0 if c.is_warm else c.load_ms or 0) + max(c.latency_ms or 0, 0.1)) * (
        1 if c.is_free else 1.25
    )


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "browser": st.sampled_from(Browser),
                "is_warm": st.booleans(),
                "load_ms": st.floats(0, 1e4),
                "latency_ms": st.floats(0, 1e4),
            }
        ),
        min_size=1,
        max_size=6,
    )
)
def test_with_much_evidence_the_shortest_time_wins_whatever_the_score(
    values: list[dict[str, object]],
) -> None:
    crowd = alike([v | {"evidence": 1e12} for v in values])
    winner = chosen(crowd, anything)
    assert expected_ms(winner) == pytest.approx(min(map(expected_ms, crowd)), rel=1e-6)


@given(candidates, needs, st.floats(1, 1e6), st.floats(0, 100), st.floats(0, 100))
def test_the_prior_fades_as_evidence_grows(
    candidate: Candidate, need: Need, latency_ms: float, one: float, other: float
) -> None:
    measured = replace(candidate, latency_ms=latency_ms, breaker_allows=True)
    anchor = replace(measured, session="anchor", evidence=5.0, latency_ms=100.0)
    distances = []
    for evidence in sorted((one, other)):
        weighed = weigh_candidates([replace(measured, evidence=evidence + 0.01), anchor], need)[0]
        distances.append(abs(weighed.run_ms - latency_ms) / latency_ms)
    assert distances[1] <= distances[0] + 1e-6


@given(candidates, needs)
def test_a_lane_that_is_only_better_is_preferred(candidate: Candidate, need: Need) -> None:
    base = replace(candidate, breaker_allows=True, platform=Backend.WASM)
    base = replace(base, backends=(Backend.WASM,), free_memory_bytes=None, session="s0", load_ms=5.0)
    need = replace(need, backends=())
    cold, warm = replace(base, is_warm=False), replace(base, is_warm=True, session="s1")
    assert chosen([cold, warm], need) is warm
    busy, free = replace(base, n_ahead=2, queue_ahead_ms=50.0), replace(base, n_ahead=0, queue_ahead_ms=0.0)
    assert chosen([busy, replace(free, session="s1")], need).is_free
    ill, well = replace(base, health=10.0), replace(base, health=90.0, session="s1")
    assert chosen([ill, well], need) is well


@given(able_crowds, free_needs, st.data())
def test_a_lane_chosen_stays_chosen_when_others_wait_longer(
    crowd: list[Candidate], need: Need, data: st.DataObject
) -> None:
    crowd = [replace(c, queue_ahead_ms=c.queue_ahead_ms or 0.0) for c in crowd]
    winner = chosen(crowd, need)
    index = data.draw(st.sampled_from([i for i, c in enumerate(crowd) if c is not winner]))
    worse = replace(crowd[index], queue_ahead_ms=(crowd[index].queue_ahead_ms or 0.0) + 1e5)
    assert chosen([*crowd[:index], worse, *crowd[index + 1 :]], need) is winner


def test_a_short_measured_wait_beats_a_long_load() -> None:
    crowd = alike(
        [
            {"n_ahead": 1, "queue_ahead_ms": 40.0, "is_warm": True, "latency_ms": 20.0, "evidence": 9.0},
            {"is_warm": False, "load_ms": 2000.0, "latency_ms": 20.0, "evidence": 9.0},
        ]
    )
    choice = choose_session(crowd, anything)
    assert choice and choice.session == "s0"
    assert "waits there behind 1" in choice.reasons
    # the same wait without measurements: a busy session is skipped
    unmeasured = [replace(c, latency_ms=None) for c in crowd]
    assert chosen(unmeasured, anything).session == "s1"


@given(st.tuples(crowds, able_crowds).map(lambda both: rename(both[0] + both[1])), free_needs)
def test_a_choice_explains_itself(crowd: list[Candidate], need: Need) -> None:
    choice = choose_session(crowd, need)
    assert choice is not None
    assert len(choice.weighed) == len(crowd)
    routing = choice.to_routing()
    assert routing["session"] == choice.session
    told = {(c["session"], c["lane"]): c for c in routing["candidates"]}
    assert told.keys() == {(c.session, c.lane) for c in crowd}
    assert all(bool(told[c.session, c.lane]["excluded"]) is bool(find_exclusion(c, need)) for c in crowd)


@given(candidates, needs)
def test_the_score_is_the_guides(candidate: Candidate, need: Need) -> None:
    """Written out once more, from the guide."""
    on_gpu = candidate.platform is Backend.WEBGPU
    score = 100.0
    preferred = need.preferred_browser or PREFERRED_BROWSER[need.family]
    score += 50 if candidate.browser is preferred else 10
    if candidate.platform:
        score += 30 if candidate.platform is (need.backends or (candidate.platform,))[0] else 0
    if (
        need.family is Family.AUDIO
        and candidate.browser is Browser.FIREFOX
        and "compute_shaders" in need.flags
    ):
        score += 40 if on_gpu else 0
    if need.family in (Family.TEXT_EMBEDDING, Family.TEXT_GENERATION):
        score += 35 if candidate.platform is Backend.WEBNN else 0
    if need.family is Family.VISION and "precompile_shaders" in need.flags:
        score += 25 if on_gpu else 0
    if need.family is Family.MULTIMODAL and "parallel_loading" in need.flags:
        score += 30 if candidate.platform else 0
    score += 30 * candidate.health / 100
    assert prior_score(candidate, need) == pytest.approx(score)
    assert all(points for reason, points in prior_parts(candidate, need) if not reason.startswith("health"))


def test_a_loaded_model_needs_no_further_memory() -> None:
    cold, warm = alike(
        [{"is_warm": False}, {"is_warm": True}], replace(ABLE, model_bytes=2, free_memory_bytes=1)
    )
    assert find_exclusion(cold, anything) == "the model needs 2 bytes, 1 are free"
    assert find_exclusion(warm, anything) == ""


def busy_and_free(busy_ms: float, free_ms: float) -> list[Candidate]:
    """Two warm lanes, measured for sure: behind one request, and free."""
    sure: dict[str, object] = {"is_warm": True, "evidence": 1e12, "queue_ahead_ms": 0.0}
    wait: dict[str, object] = {"n_ahead": 1, "queue_ahead_ms": busy_ms - 1.0, "latency_ms": 1.0}
    return alike([sure | wait, sure | {"latency_ms": free_ms}])


@given(st.floats(2, 1e4), st.floats(0.5, 2))
def test_a_wait_must_be_a_fifth_shorter_to_be_worth_it(free_ms: float, ratio: float) -> None:
    assume(abs(ratio - 0.8) > 1e-6 and free_ms * ratio > 1)
    winner = chosen(busy_and_free(free_ms * ratio, free_ms), anything)
    assert winner.is_free is (ratio > 0.8)


def test_a_deadline_is_reason_enough_to_wait() -> None:
    assert chosen(busy_and_free(90.0, 100.0), anything).is_free
    assert not chosen(busy_and_free(90.0, 100.0), replace(anything, remaining_ms=95.0)).is_free


def test_the_lane_that_holds_part_of_a_model_loads_it_sooner() -> None:
    empty = replace(ABLE, session="empty", load_ms=800.0, latency_ms=10.0, evidence=5.0)
    half = replace(empty, session="half", held_share=0.5)
    need = Need(Family.VISION)
    choice = choose_session([empty, half], need)
    assert choice is not None
    assert choice.session == "half"
    loads = {weighed.session: weighed.load_ms for weighed in weigh_candidates([empty, half], need)}
    assert loads == {"empty": 800.0, "half": 400.0}


def test_where_memory_is_short_a_model_goes_where_its_parts_are() -> None:
    # The empty lane is measured to be quicker, and has no room for the whole model.
    empty = replace(
        ABLE, session="empty", free_memory_bytes=50, model_bytes=80, latency_ms=1.0, evidence=50.0
    )
    half = replace(ABLE, session="half", free_memory_bytes=50, model_bytes=20, held_share=0.75)
    choice = choose_session([empty, half], Need(Family.VISION))
    assert choice is not None
    assert choice.session == "half"
