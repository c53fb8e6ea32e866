"""Which browser a model goes to: held by what is known to be true of made-up runs."""

from __future__ import annotations

import math
import random

import pytest

from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.routing.evidence import Evidence, Sums, measure
from scheduler.routing.ranking import BrowserCondition, Policy, Ranked, rank

CHROME, EDGE, FIREFOX = Browser.CHROME, Browser.EDGE, Browser.FIREFOX


def runs(
    browser: Browser,
    times_ms: list[float],
    *,
    batch: int = 1,
    age: float = 1.0,
    failed: float = 0.0,
    backend: str = "webgpu",
) -> Evidence:
    """Evidence of runs that each count `age`."""
    total = Sums()
    for ms in times_ms:
        x, y = math.log(batch), math.log(ms)
        total += Sums(1, x, y, x * x, x * y, y * y).scaled(age)
    n = len(times_ms)
    return Evidence(Family.VISION, "vit", "fp32", browser, backend, total, n, total.w, failed)


def noisy(browser: Browser, ms: float, n: int, seed: int = 0) -> Evidence:
    chance = random.Random(seed)
    return runs(browser, [ms * math.exp(chance.gauss(0, 0.1)) for _ in range(n)])


def ranked(*evidence: Evidence, incumbent: Browser | None = None, **policy: object) -> tuple[Ranked, ...]:
    return rank(Family.VISION, list(evidence), Policy(**policy), incumbent)  # type: ignore[arg-type]


def shares(rows: tuple[Ranked, ...]) -> dict[Browser, float]:
    return {row.browser: row.share for row in rows}


def test_of_backends_that_a_browser_used_alike_the_quickest_stands_for_it() -> None:
    """As in trials, which run every way as often."""
    slow, quick = runs(CHROME, [300.0] * 5, backend="webgpu"), runs(CHROME, [10.0] * 5, backend="wasm")
    for evidence in ((slow, quick), (quick, slow)):
        (chrome,) = (row for row in ranked(*evidence) if row.browser is CHROME)
        assert (chrome.backend, round(chrome.measured_ms or 0)) == ("wasm", 10)


def test_without_a_measurement_the_guides_table_decides_and_says_so() -> None:
    for family, browser in ((Family.AUDIO, FIREFOX), (Family.VISION, CHROME), (Family.TEXT_EMBEDDING, EDGE)):
        first = rank(family, [], Policy())[0]
        assert first.browser is browser and first.expected_ms is None
        assert first.reason == f"{browser} is the prior choice for {family}; nothing was measured yet"


def test_a_few_slow_runs_outweigh_the_prior_and_one_does_not() -> None:
    assert ranked(noisy(CHROME, 24, 1), noisy(EDGE, 22, 1))[0].browser is CHROME
    assert ranked(noisy(CHROME, 40, 12), noisy(EDGE, 20, 12))[0].browser is EDGE


def test_the_choice_moves_away_from_a_browser_that_became_slow_and_back_when_that_fades() -> None:
    slowed = ranked(noisy(CHROME, 200, 30), noisy(EDGE, 25, 10), incumbent=CHROME)
    assert slowed[0].browser is EDGE and "edge took 2" in slowed[0].reason
    faded = ranked(runs(CHROME, [200.0] * 30, age=0.005), noisy(EDGE, 25, 30), incumbent=EDGE)
    assert shares(faded)[CHROME] > shares(slowed)[CHROME]


def test_two_that_are_alike_do_not_take_turns() -> None:
    for seed in range(20):
        evidence = (noisy(CHROME, 20, 40, seed), noisy(EDGE, 20, 40, seed + 100))
        for incumbent in (CHROME, EDGE):
            winners = [ranked(*evidence, incumbent=incumbent)[0].browser]
            assert winners == [incumbent] or abs(evidence[0].sums.y - evidence[1].sums.y) / 40 > 0.02


@pytest.mark.parametrize("budget", [0.0, 0.05, 0.3])
def test_exploration_stays_within_its_budget_and_goes_to_the_doubtful(budget: float) -> None:
    for evidence in ([], [noisy(CHROME, 20, 5)], [noisy(CHROME, 20, 50), noisy(EDGE, 21, 50)]):
        rows = ranked(*evidence, exploration=budget)
        assert sum(row.share for row in rows) == pytest.approx(1)
        assert rows[0].share >= 1 - budget - 1e-9
    known = shares(ranked(noisy(CHROME, 20, 50), noisy(EDGE, 90, 50), exploration=0.05))
    assert known[EDGE] < 0.001 < known[FIREFOX], "what is surely slower is not tried, what nobody knows is"


def test_every_share_that_explores_says_so() -> None:
    for row in ranked(noisy(CHROME, 20, 10))[1:]:
        assert row.reason.startswith("exploring (2.5% of the requests)") and "not measured" in row.reason


def test_failures_count_as_time_lost() -> None:
    assert ranked(noisy(CHROME, 20, 10), noisy(EDGE, 30, 10))[0].browser is CHROME
    failing = runs(CHROME, [20.0] * 10, failed=30)
    rows = ranked(failing, noisy(EDGE, 30, 10))
    assert rows[0].browser is EDGE
    assert "30 failures lately" in next(row.reason for row in rows if row.browser is CHROME)


def test_a_browser_that_nobody_serves_or_that_is_ill_gets_nothing_unless_there_is_no_other() -> None:
    evidence = (noisy(CHROME, 20, 30), noisy(EDGE, 40, 30))
    for condition, word in (
        (BrowserCondition(served=False), "no worker serves"),
        (BrowserCondition(healthy=False), "in order"),
    ):
        rows = ranked(*evidence, conditions={CHROME: condition, FIREFOX: condition})
        assert shares(rows) == {EDGE: 1.0, CHROME: 0.0, FIREFOX: 0.0} and word in rows[1].reason
        all_out = ranked(*evidence, conditions=dict.fromkeys(Browser, condition))
        assert all_out[0].browser is CHROME and all_out[0].share > 0.9


def test_larger_batches_are_not_taken_for_slowness() -> None:
    quick = [runs(EDGE, [8.0] * 4, batch=1), runs(EDGE, [64.0] * 20, batch=8)]
    both = Evidence(
        Family.VISION, "vit", "fp32", EDGE, "webgpu", quick[0].sums + quick[1].sums, 24, 24.0, 0.0
    )
    slow = runs(CHROME, [12.0] * 24, batch=1)
    at_the_same_size = {each.browser: each.mean_ln_ms for each in measure([both, slow])}
    assert at_the_same_size[CHROME] - at_the_same_size[EDGE] == pytest.approx(math.log(12 / 8), abs=0.01)
    assert ranked(both, slow)[0].browser is EDGE


def test_a_browser_counts_by_the_backend_it_used_last() -> None:
    rows = ranked(
        runs(CHROME, [90.0] * 40, age=0.1, backend="wasm"), runs(CHROME, [10.0] * 9, backend="webgpu")
    )
    assert rows[0].backend == "webgpu" and rows[0].measured_ms == pytest.approx(10)
