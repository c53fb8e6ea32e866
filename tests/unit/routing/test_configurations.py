"""Ways to run a model: the quickest first, with certainty, and what follows for each choice."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.routing.configurations import Configuration, rank_configurations, read_accelerations
from scheduler.routing.evidence import Evidence, Sums


def runs(
    ms: float, n: int = 20, browser: Browser = Browser.CHROME, backend: str = "wasm", **more: str
) -> Evidence:
    y = math.log(ms)
    sums = Sums(w=float(n), y=n * y, yy=n * y * y)
    precision, flags = more.get("precision", "fp32"), more.get("flags", "")
    return Evidence(Family.AUDIO, "m", precision, browser, backend, sums, n, float(n), flags=flags)


WITH_SHADERS = json.dumps({"compute_shaders": True, "mixed_precision": False, "reuse_results": True})


def test_ways_are_ranked_with_certainty_and_each_choice_is_advised() -> None:
    found = rank_configurations(
        [
            runs(40, backend="webgpu"),
            runs(30, backend="webgpu", flags=WITH_SHADERS),
            runs(10),
            runs(11, 2, precision="int8"),
            runs(20, browser=Browser.FIREFOX),
        ]
    )
    assert [round(each.measured_ms) for each in found.ways] == [10, 11, 20, 30, 40]
    assert found.ways[3].way == Configuration(Browser.CHROME, "webgpu", "fp32", ("compute_shaders",))
    assert 0.5 < found.ways[0].chance < 0.95 < 1 - found.ways[2].chance
    advice = {each.what: each for each in found.advice}
    assert advice.keys() == {"browser", "backend", "precision", "compute_shaders"}
    backend = advice["backend"]
    assert (backend.choice, backend.over) == ("wasm", "webgpu")
    assert backend.ratio == pytest.approx(3) and backend.certainty > 0.99
    assert (advice["compute_shaders"].choice, advice["compute_shaders"].over) == ("on", "off")
    assert advice["compute_shaders"].ratio == pytest.approx(4 / 3)
    assert "may be chance" in str(advice["precision"]) and "may be chance" not in str(backend)


def test_a_row_that_costs_time_is_advised_against() -> None:
    found = rank_configurations([runs(10), runs(12, flags=WITH_SHADERS)])
    (advice,) = found.advice
    assert (advice.what, advice.choice, advice.over) == ("compute_shaders", "off", "on")


def test_flags_that_change_nothing_here_make_no_way_of_their_own() -> None:
    found = rank_configurations([runs(10, 5), runs(10, 7, flags='{"reuse_results": true}')])
    assert [each.n_runs for each in found.ways] == [12]
    assert found.advice == ()


def test_nothing_measured_is_nothing_recommended() -> None:
    assert rank_configurations([]).ways == ()
    assert read_accelerations("no json") == read_accelerations("[1]") == ()


@given(st.lists(st.tuples(st.floats(1, 1e4), st.integers(1, 50), st.sampled_from(Browser)), max_size=8))
def test_chances_are_those_of_one_winner(found: list[tuple[float, int, Browser]]) -> None:
    ways = rank_configurations(
        runs(ms, n, browser, backend=f"b{at}") for at, (ms, n, browser) in enumerate(found)
    ).ways
    times = [way.measured_ms for way in ways]
    assert times == sorted(times)
    assert all(0 <= way.chance <= 1 for way in ways)
