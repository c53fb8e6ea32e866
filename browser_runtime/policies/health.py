"""A session's health, 0-100: evidence against it, each kind clamped, all of it fading with time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# Four of the guide's checks (every 15 s): a session that got over its trouble is healthy within a minute, and
# one that opened its breaker by five failures is back above 50 when probes are let through, after 30 s.
HALF_LIFE_S = 60.0
# Runs that a session is trusted to have done well before it did any: one failure is no 100 % error rate then.
TRUSTED_RUNS = 5.0
# Share of the newest run in the running mean of slowness: about the last nine runs count.
LATENCY_SHARE = 0.2

# The most points that each factor takes. Failing alone can make a session unhealthy, no other single
# factor can: the fourth failure in a row of a new session does, one before the breaker opens.
MOST_POINTS = {
    "error_rate": 50.0,
    "latency": 20.0,
    "consecutive_failures": 40.0,
    "drops": 30.0,
    "memory": 20.0,
    "ping": 15.0,
}
POINTS_PER_FAILURE_IN_A_ROW = 8.0
POINTS_PER_DROP = 10.0
# Four times its own baseline is as slow as the score tells apart (log2).
WORST_SLOWNESS = 2.0
# Share of the memory limit from which memory counts.
MEMORY_FROM = 0.8
# A ping on loopback takes under 5 ms; one of a whole ping interval (link.bridge) is nearly lost.
PING_FROM_MS, PING_WORST_MS = 250.0, 5000.0


@dataclass(frozen=True, slots=True)
class HealthSample:
    """Something observed of a session; what was not observed is None."""

    at_s: float
    ok: bool | None = None
    """The outcome of a run or a golden check; failures by the caller's own fault are not samples."""
    slowdown: float | None = None
    """Its time over what is expected of the same work there (1: as ever); only where it went well."""
    dropped: bool = False
    """The connection dropped and was taken up again."""
    memory_fraction: float | None = None
    """Memory in use over the limit at which the session is recycled."""
    ping_ms: float | None = None


@dataclass(frozen=True, slots=True)
class HealthState:
    """The evidence as of `at_s`; it halves every HALF_LIFE_S. A new session starts at 100."""

    at_s: float = -math.inf
    runs: float = 0.0
    errors: float = 0.0
    failures_in_a_row: float = 0.0
    slowness: float = 0.0
    """Running mean of log2(slowdown), clamped to 0..WORST_SLOWNESS: being fast earns no credit for later."""
    drops: float = 0.0
    memory: float = 0.0
    """0..1 between MEMORY_FROM and the limit."""
    ping: float = 0.0
    """0..1 between PING_FROM_MS and PING_WORST_MS."""

    def after(self, sample: HealthSample) -> HealthState:
        """The state with one more sample. Samples older than the state count as of the state's time."""
        state = _add_levels(self._aged(sample.at_s), sample)
        if sample.dropped:
            state = replace(state, drops=state.drops + 1)
        if sample.ok is None:
            return state
        return _add_success(state, sample) if sample.ok else _add_failure(state)

    def score(self, now: float) -> float:
        """100: nothing speaks against the session; 0: everything does."""
        return max(100.0 - sum(self.factors(now).values()), 0.0)

    def factors(self, now: float) -> dict[str, float]:
        """Points lost by factor, each from 0 to its MOST_POINTS."""
        state = self._aged(now)
        lost = {
            "error_rate": MOST_POINTS["error_rate"] * state.errors / (state.runs + TRUSTED_RUNS),
            "latency": MOST_POINTS["latency"] * state.slowness / WORST_SLOWNESS,
            "consecutive_failures": POINTS_PER_FAILURE_IN_A_ROW * state.failures_in_a_row,
            "drops": POINTS_PER_DROP * state.drops,
            "memory": MOST_POINTS["memory"] * state.memory,
            "ping": MOST_POINTS["ping"] * state.ping,
        }
        return {name: _clamp(points, 0.0, MOST_POINTS[name]) for name, points in lost.items()}

    def _aged(self, now: float) -> HealthState:
        """The same evidence, faded to `now`."""
        if now <= self.at_s:
            return self
        left = 0.5 ** ((now - self.at_s) / HALF_LIFE_S)
        return HealthState(
            now,
            self.runs * left,
            self.errors * left,
            self.failures_in_a_row * left,
            self.slowness * left,
            self.drops * left,
            self.memory * left,
            self.ping * left,
        )


def _add_levels(state: HealthState, sample: HealthSample) -> HealthState:
    """The newest memory and ping take the place of older ones."""
    if sample.memory_fraction is not None:
        state = replace(state, memory=_clamp((sample.memory_fraction - MEMORY_FROM) / (1 - MEMORY_FROM)))
    if sample.ping_ms is not None:
        state = replace(state, ping=_clamp((sample.ping_ms - PING_FROM_MS) / (PING_WORST_MS - PING_FROM_MS)))
    return state


def _add_success(state: HealthState, sample: HealthSample) -> HealthState:
    slowness = state.slowness
    if sample.slowdown is not None and sample.slowdown > 0:
        seen = _clamp(math.log2(sample.slowdown), 0.0, WORST_SLOWNESS)
        slowness += LATENCY_SHARE * (seen - slowness)
    return replace(state, runs=state.runs + 1, failures_in_a_row=0.0, slowness=slowness)


def _add_failure(state: HealthState) -> HealthState:
    return replace(
        state,
        runs=state.runs + 1,
        errors=state.errors + 1,
        failures_in_a_row=state.failures_in_a_row + 1,
    )


def _clamp(value: float, least: float = 0.0, most: float = 1.0) -> float:
    return min(max(value, least), most)
