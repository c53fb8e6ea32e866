"""A comparison in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scheduler.experiments.comparisons import PARTS
from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.comparing import Comparison
from webinfer.bench.laboratory.estimates import Interval

# Settings that a build is named with.
TOLD_BY_BUILDS = ("chromium_arguments", "firefox_preferences", "wasm_threads")
# A step with this share of the difference is what makes it.
MOST = 0.9
# An interval that reaches twice the ratio says nothing.
UNKNOWN = 1.0


def sentence(comparison: Comparison) -> str:
    """The verdict: `b is 7.1 % slower (5.8 .. 8.5 %, 95 %), all of it in compute`."""
    interval = comparison.steady
    if interval.half_width > UNKNOWN:
        return (
            f"not known: {interval.n} block{'s' if interval.n != 1 else ''} differ too much from each other"
        )
    if not interval.differs:
        return f"no difference above {percent(interval.largest_change)}"
    word = "slower" if interval.ratio > 1 else "faster"
    ends = sorted(abs(end - 1) for end in (interval.low, interval.high))
    spread = f"({ends[0] * 100:.1f} .. {ends[1] * 100:.1f} %, 95 %)"
    return f"b is {percent(abs(interval.ratio - 1))} {word} {spread}, {_where(comparison)}"


def _asked(arm: Arm) -> str:
    """The options and settings of an arm; its build names flags and preferences already."""
    named = [f"option.{name}={value}" for name, value in arm.options.items()]
    named += [f"{name}={value}" for name, value in arm.settings.items() if name not in TOLD_BY_BUILDS]
    return f", {', '.join(named)}" if named else ""


def _where(comparison: Comparison) -> str:
    """The steps that make the difference, with their shares of it."""
    parts = comparison.share_of_steps
    total = sum(parts.values())
    shares = {step: value / total for step, value in parts.items()} if total else {}
    ranked = sorted(shares.items(), key=lambda row: -row[1])
    if not ranked:
        return "in no step of its own"
    name, share = ranked[0]
    if share >= MOST:
        return f"all of it in {PARTS[name].strip()}"
    named = [f"{value * 100:.0f} % of it in {PARTS[step].strip()}" for step, value in ranked if value >= 0.1]
    return ", ".join(named)


def ending(comparison: Comparison) -> str:
    """The reason why it ended."""
    limits, n = comparison.limits, len(comparison.blocks)
    told = f"after {n} block{'s' if n != 1 else ''}, {comparison.seconds:.0f} s"
    if comparison.cut:
        return f"{comparison.cut}, {told}; the interval is {_reach(comparison.steady)}"
    if comparison.is_narrow:
        return f"stopped as the interval is within {percent(limits.within)}, {told}"
    return (
        f"stopped at the end of the budget of {limits.budget_s:.0f} s, {told}; the interval is "
        f"{_reach(comparison.steady)}, not within {percent(limits.within)}"
    )


def answers(comparison: Comparison) -> str:
    """Whether both arms answer the same."""
    told = comparison.answers_differ
    return f"the answers differ: {told}" if told else "the first answers are equal within the tolerance"


def describe_arms(comparison: Comparison) -> Iterator[str]:
    """What ran, a line an arm."""
    last = comparison.blocks[-1]
    for name, arm, start in (("a", comparison.a, last.a), ("b", comparison.b, last.b)):
        facts = start.facts
        adapter = f" on {facts['adapter']}" if facts["adapter"] else ""
        yield (
            f"{name}: {facts['model']} {facts['precision']}, {facts['browser_build']}, "
            f"{facts['backend']}{adapter}, {facts['threads']} thread{'s' if facts['threads'] != 1 else ''}"
            f"{_asked(arm)}"
        )


def progress(comparison: Comparison) -> str:
    """The present interval in a line."""
    interval, n = comparison.steady, len(comparison.blocks)
    if n < 2:
        return f"{n} block; b to a {interval.ratio:.3f}"
    ends = f"{interval.low:.3f} .. {interval.high:.3f}"
    return f"{n} blocks; b to a {interval.ratio:.3f} ({ends}), {_reach(interval)}"


def _reach(interval: Interval) -> str:
    return "too wide to tell" if interval.half_width > UNKNOWN else f"within {percent(interval.half_width)}"


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(np.median(values))


def percent(share: float) -> str:
    """A share in percent with one decimal."""
    return f"{share * 100:.1f} %"
