"""What a flag brings, and how sure that is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from scheduler.reports.impact import judge_impact

PLACE = {
    "flag": "f",
    "model": "m",
    "browser": "b",
    "backend": "wasm",
    "precision": "",
    "batch_size": 1,
    "fingerprint": None,
    "n_on": 9,
    "n_off": 9,
}


def row(on: list[float], off: list[float], paired: bool = False) -> dict[str, Any]:
    """The row that the query would give for these samples of ln(ms)."""
    pairs = [a - b for a, b in zip(on, off, strict=True)] if paired else []
    found: dict[str, Any] = dict(PLACE)
    for name, values in (("on", on), ("off", off)):
        found |= {f"blocks_{name}": len(values), f"mean_{name}": np.mean(values), f"var_{name}": _var(values)}
    mean = np.mean(pairs) if pairs else None
    return found | {"pairs": len(pairs), "mean_pair": mean, "var_pair": _var(pairs)}


def _var(values: list[float]) -> float | None:
    return float(np.var(values, ddof=1)) if len(values) > 1 else None


def test_groups_are_compared_as_welch_did() -> None:
    on, off = [2.0, 2.1, 1.9, 2.05], [2.3, 2.5, 2.2]
    expected = stats.ttest_ind(on, off, equal_var=False).confidence_interval(0.95)
    found = judge_impact(row(on, off))
    assert found.low is not None and found.high is not None
    assert math.log(found.low) == pytest.approx(expected.low, rel=1e-9)
    assert math.log(found.high) == pytest.approx(expected.high, rel=1e-9)
    assert (found.verdict, found.is_paired, found.n_samples) == ("quicker", False, 7)


def test_pairs_are_compared_as_pairs() -> None:
    off = [1.0, 2.0, 3.0, 4.0]
    on = [value + shift for value, shift in zip(off, (0.1, 0.12, 0.08, 0.11), strict=True)]
    expected = stats.ttest_rel(on, off).confidence_interval(0.95)
    found = judge_impact(row(on, off, paired=True))
    assert found.low is not None
    assert math.log(found.low) == pytest.approx(expected.low, rel=1e-9)
    assert (found.verdict, found.is_paired) == ("slower", True)


def test_noise_is_no_effect_and_few_samples_are_no_verdict() -> None:
    assert judge_impact(row([1.0, 1.4, 0.7], [1.1, 0.9, 1.2])).verdict == "no difference seen"
    few = judge_impact(row([1.0, 1.0], [2.0, 2.0, 2.0]))
    assert (few.verdict, few.low, few.high) == ("too few samples", None, None)
    assert few.ratio == pytest.approx(math.exp(-1))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Four samples a group, unequal variance: 95 % within three standard errors of 2000 trials."""
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(2000):
        found = judge_impact(row(list(random.normal(0.1, 0.1, 4)), list(random.normal(0, 0.3, 4))))
        assert found.low is not None and found.high is not None
        hits += found.low <= math.exp(0.1) <= found.high
    assert 0.935 <= hits / 2000 <= 0.975
