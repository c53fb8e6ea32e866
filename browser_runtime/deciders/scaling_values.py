"""What the scaling decision is made from and what comes out: plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from browser_runtime.deciders.health import HEALTHY_SCORE

# Wanted back within this many windows: closed too soon.
REGRET_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """The guide's numbers, and how fast sessions may come and go."""

    min_sessions: int = 1
    max_sessions: int = 8
    up_above: float = 0.7
    down_below: float = 0.3
    memory_percent: float = 80.0
    """No session is added where system memory is, or would be, above this."""
    shed_percent: float = 92.0
    """A session goes where system memory is above this: a browser killed by the system is worse."""
    cool_down_s: float = 30.0
    """Between two changes."""
    down_window_s: float = 120.0
    """A session goes only when at no time in this window it was wanted. Source: the stabilization window of
    Kubernetes' HorizontalPodAutoscaler (KEP 853), which takes the highest wish of the window; its 300 s are
    for pods that start in a minute, a browser starts in seconds."""
    max_regrets: int = 3
    """A session wanted back within five windows was closed too soon: each time doubles the window, at most to
    2^max_regrets of it, so that a load that swings around the limit comes to rest."""
    max_growth: float = 2.0
    """At most this many times as many sessions in one step, as in the HorizontalPodAutoscaler."""
    min_gain: float = 0.1
    """The share by which a growth under full load must have raised throughput to be followed by another: the
    eighth session can still add a seventh."""
    gain_memory_s: float = 300.0
    """For so long a growth that gained nothing holds the next one back."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session that is not yet draining."""

    name: str
    n_lanes: int = 1
    n_busy: int = 0
    health: float = 100.0
    breaker_allows: bool = True
    is_starting: bool = False
    warm_models: frozenset[str] = frozenset()

    @property
    def is_usable(self) -> bool:
        """Whether it counts as capacity: healthy, and running or on its way."""
        return self.breaker_allows and self.health >= HEALTHY_SCORE


@dataclass(frozen=True, slots=True)
class Growth:
    """A growth that happened under full load."""

    at_s: float
    n_before: int
    throughput_per_s: float
    """Before it."""


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """What a decision hands on to the next."""

    since_s: float = math.inf
    """The first look."""
    last_change_s: float = -math.inf
    last_shrink_s: float = -math.inf
    n_regrets: int = 0
    """How often, lately, a session was wanted back soon after it went."""
    wishes: tuple[tuple[float, int], ...] = ()
    """(time, sessions wanted) within the window, only those that no later one exceeds."""
    growth: Growth | None = None

    def after_wish(self, now: float, n: int, window_s: float) -> ScalingMemory:
        """The memory with one more wish, and without those older than the window."""
        kept = tuple((at_s, old) for at_s, old in self.wishes if now - at_s <= window_s and old > n)
        return replace(self, since_s=min(self.since_s, now), wishes=(*kept, (now, n)))

    def window_s(self, policy: ScalingPolicy) -> float:
        """For how long a session must not have been wanted before it goes."""
        return policy.down_window_s * 2.0**self.n_regrets

    def after_growth(self, now: float, growth: Growth | None, policy: ScalingPolicy) -> ScalingMemory:
        """The memory after sessions were added: was the last one closed too soon?"""
        is_regret = now - self.last_shrink_s < REGRET_WINDOWS * self.window_s(policy)
        n_regrets = min(self.n_regrets + 1, policy.max_regrets) if is_regret else max(self.n_regrets - 1, 0)
        return replace(self, last_change_s=now, growth=growth, n_regrets=n_regrets)

    def after_shrink(self, now: float) -> ScalingMemory:
        """The memory after a session was let go."""
        return replace(self, last_change_s=now, last_shrink_s=now)

    @property
    def highest_wish(self) -> int:
        """The most sessions that were wanted within the window."""
        return max((n for _, n in self.wishes), default=0)


@dataclass(frozen=True, slots=True)
class Crew:
    """Those whose number is decided, sessions or workers, and what follows from them at once."""

    members: tuple[SessionView, ...]
    """Those that are not going yet."""
    memory: ScalingMemory
    now: float
    cool_down_s: float

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.members)

    @property
    def n_usable(self) -> int:
        """Those that count as capacity."""
        return sum(member.is_usable for member in self.members)

    @property
    def n_starting(self) -> int:
        """Those on their way."""
        return sum(member.is_starting for member in self.members)

    @property
    def cools_for_s(self) -> float:
        """Time until the next change may be; 0 when it may be now."""
        return max(self.memory.last_change_s + self.cool_down_s - self.now, 0.0)

    def room(self, used_percent: float, limit_percent: float, each_percent: float | None, most: int) -> int:
        """How many more fit into memory; those that start are not yet in what is used."""
        free = limit_percent - used_percent
        if free < 0:
            return 0
        return math.floor(free / each_percent) - self.n_starting if each_percent else most


@dataclass(frozen=True, slots=True)
class ScalingState:
    """Everything a decision looks at."""

    sessions: tuple[SessionView, ...]
    load: float = 0.0
    """Busy lanes, averaged over the last seconds (forecasting.MeanLoad)."""
    n_waiting: int = 0
    queue_slope_per_s: float = 0.0
    """How fast the line grows (trends.theil_sen_slope over its recent lengths)."""
    forecast_load: float | None = None
    """Busy lanes expected when a session started now would be ready (forecasting.Arrivals)."""
    memory_percent: float = 0.0
    """System memory in use."""
    session_memory_percent: float | None = None
    """What one session takes of it, as measured."""
    throughput_per_s: float | None = None
    """Requests answered a second, lately."""
    busy_models: frozenset[str] = frozenset()
    memory: ScalingMemory = ScalingMemory()


@dataclass(frozen=True, slots=True)
class Decision:
    """How many sessions there should be, and why."""

    at_s: float
    n_sessions: int
    target: int
    reasons: tuple[str, ...]
    factors: Mapping[str, float | None]
    """The guide's six: utilisation, queue_size, model_patterns, memory_pressure, performance and
    browser_health."""
    memory: ScalingMemory
    """For the next look's state."""
    drain: tuple[str, ...] = ()
    """The sessions to drain and close."""

    @property
    def change(self) -> int:
        """Sessions to start, or to drain where negative."""
        return self.target - self.n_sessions

    def to_event(self) -> dict[str, Any]:
        """Plain values, to be kept."""
        return {
            "at_s": self.at_s,
            "sessions": self.n_sessions,
            "target": self.target,
            "change": self.change,
            "drain": list(self.drain),
            "reasons": list(self.reasons),
            "factors": dict(self.factors),
        }
