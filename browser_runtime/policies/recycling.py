"""Replaces a session before it does harm: after many runs, at much memory, at memory that keeps rising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from browser_runtime.scaling.trends import mann_kendall_z, theil_sen_slope

# A series without trend is taken for rising one time in a hundred.
RISING_Z = 2.33
# A load or a large batch is a peak, not a level: the limit counts once this many samples in a row exceed it.
SAMPLES_ABOVE = 3
# The guide's bound on system memory: above it no session starts.
SHORT_PERCENT = 80.0
# Of the limit at which a session is replaced.
RELIEVED_ABOVE = 0.9
# Samples that are looked at; the slope takes n^2/2 steps.
MAX_SAMPLES = 60


@dataclass(frozen=True, slots=True)
class RecyclePolicy:
    """The limits of a session."""

    max_runs: int = 5000
    """Leaks below what the trend sees end here; a start costs 0.5 to 3 s, so below a millisecond a run."""
    max_memory_bytes: int = 3 << 30
    """A browser (0.2 to 0.5 GB) with four models of MiniLM's size (0.3 to 0.4 GB each), and half as much."""
    min_samples: int = 20
    min_span_s: float = 180.0
    """The trend is judged on this much at least; engines still grow while they warm up."""
    max_rise: float = 0.25
    """The rise over the time looked at, as a share of the level it began from."""


@dataclass(frozen=True, slots=True)
class MemorySample:
    """A session's memory at a moment."""

    at_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SessionUse:
    """Runs and memory of a session."""

    n_runs: int
    memory: Sequence[MemorySample] = ()
    """Oldest first."""
    settled_at_s: float = float("-inf")
    """Time of its last load or unload of a model: memory before that is no part of the trend."""


def is_memory_short(size_bytes: int | None, system_percent: float, policy: RecyclePolicy) -> bool:
    """Return whether a session should free what it only keeps for later, before it is too large."""
    is_large = size_bytes is not None and size_bytes > RELIEVED_ABOVE * policy.max_memory_bytes
    return is_large or system_percent > SHORT_PERCENT


def find_recycle_reason(use: SessionUse, policy: RecyclePolicy | None = None) -> str | None:
    """Return the reason to replace the session, a sentence with its numbers; None while there is none.

    A rise counts when the Theil-Sen slope is more than `max_rise` of the level over the samples' time, and
    the Mann-Kendall test calls it no accident: peaks and noise do not recycle a session.
    """
    policy = policy or RecyclePolicy()
    if use.n_runs >= policy.max_runs:
        return f"it did {use.n_runs} runs (limit {policy.max_runs})"
    return _above_limit(use.memory, policy) or _rising(use, policy)


def _above_limit(memory: Sequence[MemorySample], policy: RecyclePolicy) -> str | None:
    latest = [sample.size_bytes for sample in memory[-SAMPLES_ABOVE:]]
    if len(latest) < SAMPLES_ABOVE or min(latest) <= policy.max_memory_bytes:
        return None
    return f"it holds {latest[-1] / 1e6:.0f} MB (limit {policy.max_memory_bytes / 1e6:.0f} MB)"


def _rising(use: SessionUse, policy: RecyclePolicy) -> str | None:
    samples = [sample for sample in use.memory if sample.at_s >= use.settled_at_s][-MAX_SAMPLES:]
    if len(samples) < max(policy.min_samples, 2):
        return None
    span_s = samples[-1].at_s - samples[0].at_s
    slope = theil_sen_slope([(sample.at_s, float(sample.size_bytes)) for sample in samples])
    if span_s < policy.min_span_s or slope is None:
        return None
    sizes = sorted(sample.size_bytes for sample in samples)
    level = max(sizes[len(sizes) // 2] - slope * span_s / 2, 1.0)
    rise = slope * span_s / level
    if rise <= policy.max_rise or mann_kendall_z([float(s.size_bytes) for s in samples]) < RISING_Z:
        return None
    return f"its memory rose by {rise:.0%} in {span_s:.0f} s without a new model ({slope / 1e6:.2f} MB/s)"
