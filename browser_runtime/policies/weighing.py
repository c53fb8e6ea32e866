"""Weighs each lane for a request: the guide's score and the expected time until the answer.

The expected time is queue + load + run (shortest-expected-delay routing). Score and measurements blend so:

- The score is read as a speed. The guide's own figure fixes the scale: Firefox, 80 points ahead for audio
  with compute shaders, is "20-25 %" faster; so POINTS_PER_DOUBLING = 80 / log2(1.225), about 270.
- run = prior^(1-w) * measured^w with w = evidence / (evidence + PRIOR_RUNS): the prior weighs as much as two
  fresh measurements, then fades. Its level comes from the measured lanes, the spread from the scores.
- So while nothing is measured the highest score wins among free lanes that are equally warm, and with much
  evidence the shortest measured time wins, whatever the score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from browser_runtime.policies.scoring import Candidate, Need, prior_score

POINTS_PER_DOUBLING = 80 / math.log2(1.225)
PRIOR_RUNS = 2.0
# Where nothing at all is measured: MiniLM on 128 tokens takes 55 ms in WebAssembly on two cores, a warm-up is
# cut off at 3 s (page/families). Only their ratio matters: being warm outweighs any score.
UNMEASURED_RUN_MS, UNMEASURED_LOAD_MS = 50.0, 3000.0
# Browsers round short times down to 0; this is their usual resolution.
SHORTEST_MS = 0.1


@dataclass(frozen=True, slots=True)
class Weighed:
    """Score and expected times of one candidate."""

    session: str
    lane: int
    browser: str
    backend: str
    score: float
    """The guide's."""
    queue_ms: float
    load_ms: float
    run_ms: float
    is_measured: bool
    excluded: str = ""
    """The reason that it cannot take the request; empty where it can."""

    @property
    def expected_ms(self) -> float:
        """Until its answer: queue, load and run."""
        return self.queue_ms + self.load_ms + self.run_ms


def weigh_candidates(candidates: Sequence[Candidate], need: Need) -> tuple[Weighed, ...]:
    """Score, expected times and exclusion of every candidate, in the order given."""
    excluded = [find_exclusion(candidate, need) for candidate in candidates]
    able = [candidate for candidate, why in zip(candidates, excluded, strict=True) if not why]
    level = _prior_level(able, need)
    return tuple(_weigh(c, need, level, why) for c, why in zip(candidates, excluded, strict=True))


def find_exclusion(candidate: Candidate, need: Need) -> str:
    """Return the reason that this lane cannot take the request; empty where it can."""
    if not candidate.breaker_allows:
        return "its breaker is open"
    if candidate.platform is None or candidate.platform not in candidate.backends:
        return "no backend that could be used is proved there"
    if need.backends and candidate.platform not in need.backends:
        return f"none of {', '.join(need.backends)} there"
    if _lacks_memory(candidate):
        return f"the model needs {candidate.model_bytes} bytes, {candidate.free_memory_bytes} are free"
    return ""


def _lacks_memory(candidate: Candidate) -> bool:
    needed, free = candidate.model_bytes, candidate.free_memory_bytes
    return not candidate.is_warm and needed is not None and free is not None and needed > free


@dataclass(frozen=True, slots=True)
class _Level:
    """A run takes `run_ms` at the score `score`."""

    run_ms: float
    score: float

    def run_at(self, score: float) -> float:
        """Return the prior's run time of a lane with that score."""
        return self.run_ms * math.exp2((self.score - score) / POINTS_PER_DOUBLING)


def _prior_level(able: Sequence[Candidate], need: Need) -> _Level:
    """Anchored at the measured lanes: means, weighted by evidence, of log(time) and of the score."""
    measured = [c for c in able if c.is_measured]
    total = sum(c.evidence for c in measured)
    if not total:
        return _Level(UNMEASURED_RUN_MS, max((prior_score(c, need) for c in able), default=0.0))
    mean_log = sum(c.evidence * _log_latency(c) for c in measured) / total
    return _Level(math.exp(mean_log), sum(c.evidence * prior_score(c, need) for c in measured) / total)


def _weigh(candidate: Candidate, need: Need, level: _Level, excluded: str) -> Weighed:
    score = prior_score(candidate, need)
    return Weighed(
        candidate.session,
        candidate.lane,
        str(candidate.browser),
        str(candidate.platform or ""),
        score,
        _known(candidate.queue_ahead_ms, candidate.n_ahead * level.run_ms),
        _load_ms(candidate),
        _blend(candidate, level.run_at(score)),
        candidate.is_measured,
        excluded,
    )


def _load_ms(candidate: Candidate) -> float:
    """Return the time to load what is missing of the model there."""
    if candidate.is_warm:
        return 0.0
    return (1 - candidate.held_share) * _known(candidate.load_ms, UNMEASURED_LOAD_MS)


def _blend(candidate: Candidate, prior_ms: float) -> float:
    """The geometric mean of prior and measurement, weighted by evidence."""
    if not candidate.is_measured:
        return prior_ms
    weight = candidate.evidence / (candidate.evidence + PRIOR_RUNS)
    return math.exp((1 - weight) * math.log(prior_ms) + weight * _log_latency(candidate))


def _log_latency(candidate: Candidate) -> float:
    return math.log(max(_known(candidate.latency_ms, 0.0), SHORTEST_MS))


def _known(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
