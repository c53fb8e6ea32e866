"""Ranks the browsers for one model by evidence, with shares and reasons. Pure.

A browser's time is estimated as a weighted mean of its runs and the prior. The prior is the guide's table:
its choice for the family is expected to be a quarter faster than the others. The prior's possible error is
part of the uncertainty. Exploration follows the uncertainty: a browser gets a share of a small budget by the
chance that it is faster than the best. Evidence fades, so a browser that was slow is tried again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.routing.evidence import Evidence, Measured, failures, measure

# The meaning given to the guide's table: other browsers need a quarter more time.
PRIOR_LEAD = math.log(1.25)
# The weight of the prior, in runs.
PRIOR_RUNS = 3.0
# The error of the prior: half or double is common (standard deviation of ln).
PRIOR_DOUBT = math.log(2)
# Successful runs that every browser is credited with before its first.
TRUSTED_RUNS = 4.0
# The choice changes only if another is faster with this probability, so that equal ones do not alternate.
CHANGE_CHANCE = 0.8


@dataclass(frozen=True, slots=True)
class BrowserCondition:
    """The availability of a browser."""

    served: bool = True
    """A worker consumes its queue."""
    healthy: bool = True
    """At least one of its sessions is healthy."""

    @property
    def usable(self) -> bool:
        """True if it should get requests while there are other browsers."""
        return self.served and self.healthy


@dataclass(frozen=True, slots=True)
class Ranked:
    """One browser in the ranking for a model."""

    browser: Browser
    expected_ms: float | None
    """Estimated time, failures included; None if the model was measured nowhere."""
    measured_ms: float | None
    """Mean time of its runs, at the model's usual batch size; None without runs."""
    error_factor: float
    """The time is within this factor of `expected_ms`, about two times out of three."""
    n_runs: int
    """Number of runs behind the estimate; 0 if it is the prior alone."""
    n_fresh: float
    backend: str
    failed: float
    chance: float
    """Probability that it is the fastest of all."""
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
    """The limits of a ranking."""

    exploration: float = 0.05
    """Share of a model's requests that may go to other browsers than the best."""
    conditions: Mapping[Browser, BrowserCondition] = field(default_factory=dict)
    """Browsers without an entry count as usable."""

    def condition(self, browser: Browser) -> BrowserCondition:
        """The browser's condition."""
        return self.conditions.get(browser, BrowserCondition())


def rank(
    family: Family, evidence: list[Evidence], policy: Policy, incumbent: Browser | None = None
) -> tuple[Ranked, ...]:
    """All browsers for a model, the best first. `incumbent` is the choice of the previous table."""
    estimates = sorted(_estimates(family, evidence), key=lambda each: each.mean)
    usable = [each for each in estimates if policy.condition(each.browser).usable] or estimates
    # Neither measured nor preferred by the guide: never the best.
    known = [each for each in usable if each.measured or each.browser is PREFERRED_BROWSER[family]]
    best = _best(known or usable, incumbent)
    shares = _shares(best, usable, policy.exploration)
    order = [best, *(e for e in usable if e is not best), *(e for e in estimates if e not in usable)]
    is_measured = any(each.measured for each in estimates)
    return tuple(
        _ranked(each, best, estimates, shares, policy.condition(each.browser), family, is_measured)
        for each in order
    )


def rank_proved(family: Family, backend: str, evidence: list[Evidence], policy: Policy) -> tuple[Ranked, ...]:
    """The browsers that have run any model of the family on `backend`, the one with the most runs first.

    Those that are usable now come before the others. Nothing is said of their speed: the models differ.
    """
    ran: dict[Browser, list[Evidence]] = {}
    for each in evidence:
        if each.family is family and each.backend == backend and each.n_runs:
            ran.setdefault(each.browser, []).append(each)
    n_runs = {browser: sum(each.n_runs for each in rows) for browser, rows in ran.items()}
    order = sorted(ran, key=lambda browser: (not policy.condition(browser).usable, -n_runs[browser]))
    return tuple(
        Ranked(
            browser,
            expected_ms=None,
            measured_ms=None,
            error_factor=1.0,
            n_runs=n_runs[browser],
            n_fresh=sum(each.sums.w for each in ran[browser]),
            backend=backend,
            failed=0.0,
            chance=0.0,
            share=float(place == 0),
            reason=f"{backend} is asked for first, and {browser} has run {family} there "
            f"({n_runs[browser]} {'run' if n_runs[browser] == 1 else 'runs'})",
        )
        for place, browser in enumerate(order)
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
    """The mean of runs and prior with its error; failures add to the expected time."""
    n = found.n if found else 0.0
    own = n / (n + PRIOR_RUNS)
    mean = own * found.mean_ln_ms + (1 - own) * prior if found else prior
    noise = found.spread / math.sqrt(n) * own if found else 0.0
    retries = math.log((n + TRUSTED_RUNS + failed) / (n + TRUSTED_RUNS))
    return _Estimate(browser, mean + retries, math.hypot(noise, PRIOR_DOUBT * (1 - own)), found, failed)


def _chance_quicker(one: _Estimate, other: _Estimate) -> float:
    return NormalDist().cdf((other.mean - one.mean) / max(math.hypot(one.error, other.error), 1e-9))


def _best(usable: list[_Estimate], incumbent: Browser | None) -> _Estimate:
    """The fastest, unless the previous choice may be as fast."""
    quickest = usable[0]
    for each in usable:
        if each.browser is incumbent and _chance_quicker(quickest, each) < CHANGE_CHANCE:
            return each
    return quickest


def _shares(best: _Estimate, usable: list[_Estimate], budget: float) -> dict[Browser, float]:
    """The share of each browser: the best gets what exploration leaves of 1."""
    wanted = {
        each.browser: budget * min(2 * _chance_quicker(each, best), 1.0)
        for each in usable
        if each is not best
    }
    total = sum(wanted.values())
    scale = min(1.0, budget / total) if total else 0.0
    shares = {browser: round(share * scale, 4) for browser, share in wanted.items()}
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
    reason = _describe(ranked, family)
    if not condition.served:
        reason += "; no worker serves it now"
    elif not condition.healthy:
        reason += "; its sessions are not in order"
    elif not is_best and ranked.share:
        reason = f"exploring ({ranked.share:.1%} of the requests): {reason}"
    return replace(ranked, reason=reason)


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
