"""From what was measured to a ranking of the browsers for one model, with shares and reasons. Pure.

Every browser's time is estimated as a mean of its runs and of the prior, which the guide's table gives: its
choice for the family is expected to be a quarter quicker than the others. How far that may be off is part of
the uncertainty, and uncertainty is what exploration is for: a browser gets its share of a small budget by the
chance that it is quicker than the best. Evidence fades, so one that was slow once is looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.routing.evidence import Evidence, Measured, failures, measure

# What the guide's table is taken to mean: the others need a quarter more time.
PRIOR_LEAD = math.log(1.25)
# The prior counts as much as so many runs.
PRIOR_RUNS = 3.0
# How far a time may be from what the prior says: half or double is common (standard deviation of ln).
PRIOR_DOUBT = math.log(2)
# Runs a browser is trusted to have done well before it did any.
TRUSTED_RUNS = 4.0
# The choice changes only when the other is quicker with this chance: two that are alike do not take turns.
CHANGE_CHANCE = 0.8


@dataclass(frozen=True, slots=True)
class BrowserCondition:
    """Whether a browser can be sent work at all."""

    served: bool = True
    """A worker consumes its queue."""
    healthy: bool = True
    """A session of it is in order."""

    @property
    def usable(self) -> bool:
        """Whether it is to be sent work where another browser can be had."""
        return self.served and self.healthy


@dataclass(frozen=True, slots=True)
class Ranked:
    """One browser's place for a model."""

    browser: Browser
    expected_ms: float | None
    """What is expected of it, failures included; None where nothing of the model was measured anywhere."""
    measured_ms: float | None
    """What its runs took, at the model's usual batch size; None where there were none."""
    error_factor: float
    """The time is within this factor of `expected_ms`, about two times out of three."""
    n_runs: int
    """Runs it rests on; 0: on the prior alone."""
    n_fresh: float
    backend: str
    failed: float
    chance: float
    """That it is the quickest of all, by what is known."""
    share: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Estimate:
    browser: Browser
    mean: float
    error: float
    measured: Measured | None
    failed: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What the ranking is bounded by."""

    exploration: float = 0.05
    """Share of a model's requests that may go elsewhere than to the best."""
    conditions: Mapping[Browser, BrowserCondition] = field(default_factory=dict)
    """Browsers that are not in it are taken to be in order."""

    def condition(self, browser: Browser) -> BrowserCondition:
        """The browser's condition."""
        return self.conditions.get(browser, BrowserCondition())


def rank(
    family: Family, evidence: list[Evidence], policy: Policy, incumbent: Browser | None = None
) -> tuple[Ranked, ...]:
    """All browsers for a model, the best first. `incumbent` is the choice of the table before."""
    estimates = sorted(_estimates(family, evidence), key=lambda each: each.mean)
    usable = [each for each in estimates if policy.condition(each.browser).usable] or estimates
    # Nothing is sent by default where neither a measurement nor the guide speaks for it.
    known = [each for each in usable if each.measured or each.browser is PREFERRED_BROWSER[family]]
    best = _best(known or usable, incumbent)
    shares = _shares(best, usable, policy.exploration)
    order = [best, *(e for e in usable if e is not best), *(e for e in estimates if e not in usable)]
    is_measured = any(each.measured for each in estimates)
    return tuple(
        _ranked(each, best, estimates, shares, policy.condition(each.browser), family, is_measured)
        for each in order
    )


def _estimates(family: Family, evidence: list[Evidence]) -> list[_Estimate]:
    measured = {each.browser: each for each in measure(evidence)}
    lost = failures(evidence)
    offsets = {b: 0.0 if b is PREFERRED_BROWSER[family] else PRIOR_LEAD for b in Browser}
    weight = sum(each.n for each in measured.values())
    level = (
        sum(each.n * (each.mean_ln_ms - offsets[b]) for b, each in measured.items()) / weight if weight else 0
    )
    return [_estimate(b, level + offsets[b], measured.get(b), lost.get(b, 0.0)) for b in Browser]


def _estimate(browser: Browser, prior: float, found: Measured | None, failed: float) -> _Estimate:
    """The mean of runs and prior, how far off it may be, and what failures add to what is expected."""
    n = found.n if found else 0.0
    own = n / (n + PRIOR_RUNS)
    mean = own * found.mean_ln_ms + (1 - own) * prior if found else prior
    noise = found.spread / math.sqrt(n) * own if found else 0.0
    retries = math.log((n + TRUSTED_RUNS + failed) / (n + TRUSTED_RUNS))
    return _Estimate(browser, mean + retries, math.hypot(noise, PRIOR_DOUBT * (1 - own)), found, failed)


def _chance_quicker(one: _Estimate, other: _Estimate) -> float:
    return NormalDist().cdf((other.mean - one.mean) / max(math.hypot(one.error, other.error), 1e-9))


def _best(usable: list[_Estimate], incumbent: Browser | None) -> _Estimate:
    """The quickest, unless the choice of before may well be as quick."""
    quickest = usable[0]
    for each in usable:
        if each.browser is incumbent and _chance_quicker(quickest, each) < CHANGE_CHANCE:
            return each
    return quickest


def _shares(best: _Estimate, usable: list[_Estimate], budget: float) -> dict[Browser, float]:
    """The best gets what exploration leaves; one that may as well be quicker gets the whole budget."""
    wishes = {
        each.browser: budget * min(2 * _chance_quicker(each, best), 1.0)
        for each in usable
        if each is not best
    }
    total = sum(wishes.values())
    scale = min(1.0, budget / total) if total else 0.0
    shares = {browser: round(wish * scale, 4) for browser, wish in wishes.items()}
    return shares | {best.browser: round(1 - sum(shares.values()), 4)}


def _ranked(
    each: _Estimate,
    best: _Estimate,
    estimates: list[_Estimate],
    shares: Mapping[Browser, float],
    condition: BrowserCondition,
    family: Family,
    is_measured: bool,
) -> Ranked:
    found = each.measured
    chance = math.prod(_chance_quicker(each, other) for other in estimates if other is not each)
    ranked = Ranked(
        each.browser,
        math.exp(each.mean) if is_measured else None,
        math.exp(found.mean_ln_ms) if found else None,
        math.exp(each.error),
        found.n_runs if found else 0,
        found.n if found else 0.0,
        found.backend if found else "",
        each.failed,
        chance,
        shares.get(each.browser, 0.0),
        "",
    )
    return _with_reason(ranked, each is best, condition, family)


def _with_reason(ranked: Ranked, is_best: bool, condition: BrowserCondition, family: Family) -> Ranked:
    told = _describe(ranked, family)
    if not condition.served:
        told += "; no worker serves it now"
    elif not condition.healthy:
        told += "; its sessions are not in order"
    elif not is_best and ranked.share:
        told = f"exploring ({ranked.share:.1%} of the requests): {told}"
    return replace(ranked, reason=told)


def _describe(ranked: Ranked, family: Family) -> str:
    if ranked.expected_ms is None:
        is_prior = ranked.browser is PREFERRED_BROWSER[family]
        word = "is" if is_prior else "is not"
        return f"{ranked.browser} {word} the prior choice for {family}; nothing was measured yet"
    failed = f", {ranked.failed:.0f} failures lately" if ranked.failed >= 0.5 else ""
    if ranked.measured_ms is None:
        return f"{ranked.browser} may take {ranked.expected_ms:.1f} ms: not measured{failed}"
    return (
        f"{ranked.browser} took {ranked.measured_ms:.1f} ms in {ranked.n_runs} runs{failed}; "
        f"quickest with {ranked.chance:.0%} certainty"
    )
