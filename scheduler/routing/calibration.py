"""Trials for idle browsers, so that every model is measured in every browser. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.families import rows_of, usual_precision
from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.routing.evidence import Evidence

# Enough fresh runs to outweigh the prior; the first one loads the model and does not count.
ENOUGH_RUNS = 3.0
N_RUNS = 4


@dataclass(frozen=True, slots=True)
class Known:
    """A model that a browser's worker could run."""

    browser: Browser
    family: Family
    model: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A model to run in a browser, and the reason."""

    browser: Browser
    family: Family
    model: str
    precision: str
    reason: str


def plan_trials(
    evidence: list[Evidence], known: Iterable[Known], idle: frozenset[Browser], most: int
) -> list[Trial]:
    """At most one trial per idle browser and `most` in all: requested models first, then those never run.

    A browser in which a model failed recently gets no trial of it.
    """
    asked = sorted(evidence, key=lambda each: -each.sums.w)
    candidates = [(each.family, each.model, each.precision) for each in asked]
    candidates += [(each.family, each.model, str(usual_precision(each.family))) for each in known]
    trials: dict[Browser, Trial] = {}
    able = {(each.browser, each.model) for each in known}
    for family, model, precision in dict.fromkeys(candidates):
        for browser in sorted(idle - trials.keys()):
            if (browser, model) in able and _is_wanted(evidence, browser, family, model, precision):
                reason = f"calibration: {browser} is idle and {model} was hardly measured there"
                trials[browser] = Trial(browser, family, model, precision, reason)
    return list(trials.values())[:most]


def _is_wanted(
    evidence: list[Evidence], browser: Browser, family: Family, model: str, precision: str
) -> bool:
    if not rows_of(family):
        return False
    rows = [
        each
        for each in evidence
        if (each.browser, each.family, each.model, each.precision) == (browser, family, model, precision)
    ]
    return sum(each.sums.w for each in rows) < ENOUGH_RUNS and not any(each.failed > 0.1 for each in rows)


def read_known(rows: Iterable[Mapping[str, Any]]) -> list[Known]:
    """The rows of queries/routing_models.sql, without unknown browsers and families."""
    browsers, families = list(Browser), list(Family)
    return [
        Known(Browser(row["browser"]), Family(row["family"]), str(row["model"]))
        for row in rows
        if row["browser"] in browsers and row["family"] in families
    ]
