"""Plain values in and out of a scaling decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from browser_runtime.contract.vocabulary import HEALTHY_SCORE

# Wanted back within this many windows: closed too soon.
REGRET_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """Bounds, memory limits and pace of a number of replicas; the guide's unless a source is named."""

    noun: str = "sessions"
    """The word for the replicas in reasons."""
    min_replicas: int = 1
    max_replicas: int = 8
    max_growth: float = 2.0
    """At most this many times as many replicas in one step, as in Kubernetes' HorizontalPodAutoscaler."""
    max_shrink: int | None = 1
    """Most replicas that go in one step while within the bounds; None: any number."""
    memory_percent: float = 80.0
    """No replica is added where system memory is, or would be, above this."""
    shed_percent: float = 92.0
    """A replica goes where system memory is above this: a browser killed by the system is worse."""
    cool_down_s: float = 30.0
    """Between two changes."""
    down_window_s: float = 120.0
    """A replica goes only when at no time in this window it was wanted. Source: the stabilization window of
    Kubernetes' HorizontalPodAutoscaler (KEP 853), which takes the highest wish of the window; its 300 s are
    for pods that start in a minute, a browser starts in seconds."""
    max_regrets: int = 3
    """A replica wanted back within five windows was closed too soon: each time doubles its window, at most to
    2^max_regrets of it, so that a load that swings around the limit comes to rest."""
    min_gain: float = 0.1
    """The share by which a growth under full load must have raised throughput to be followed by another: the
    eighth session can still add a seventh."""
    gain_memory_s: float = 300.0
    """For so long a growth that gained nothing holds the next one back."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One session of a pool, or one worker of a queue, that is not going yet."""

    name: str
    n_lanes: int = 1
    n_busy: int = 0
    health: float = 100.0
    breaker_allows: bool = True
    is_starting: bool = False
    warm_models: frozenset[str] = frozenset()

    @property
    def is_usable(self) -> bool:
        """True where it counts as capacity: healthy, and running or on its way."""
        return self.breaker_allows and self.health >= HEALTHY_SCORE


@dataclass(frozen=True, slots=True)
class GrowthRecord:
    """A growth that happened under full load."""

    at_s: float
    n_before: int
    throughput_per_s: float
    """Before it."""


@dataclass(frozen=True, slots=True)
class Level:
    """The k-th replica: what became of it lately."""

    n_regrets: int = 0
    """Number of times it was wanted back soon after it went."""
    left_s: float = -math.inf
    """Time at which it went."""


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """State that a decision hands on to the next."""

    since_s: float = math.inf
    """The first look."""
    last_change_s: float = -math.inf
    levels: tuple[Level, ...] = ()
    """The first replica's, the second's, ...: the second may be wanted every minute, the sixth once a day."""
    wishes: tuple[tuple[float, int], ...] = ()
    """(time, replicas wanted) within the longest window, only those that no later one exceeds."""
    growth: GrowthRecord | None = None

    def after_wish(self, now: float, n: int, policy: ScalingPolicy) -> ScalingMemory:
        """The memory with one more wish, and without those that nobody asks about any more."""
        longest_s = policy.down_window_s * 2.0**policy.max_regrets
        kept = tuple((at_s, old) for at_s, old in self.wishes if now - at_s <= longest_s and old > n)
        return replace(self, since_s=min(self.since_s, now), wishes=(*kept, (now, n)))

    def level(self, k: int) -> Level:
        """The k-th replica's, counted from 1."""
        return self.levels[k - 1] if k <= len(self.levels) else Level()

    def window_s(self, k: int, policy: ScalingPolicy) -> float:
        """For how long the k-th replica must not have been wanted before it goes.

        The regrets of its neighbours are its own: a load near one of them crosses the other by chance.
        """
        n_regrets = max(self.level(near).n_regrets for near in (max(k - 1, 1), k, k + 1))
        return policy.down_window_s * 2.0**n_regrets

    def wanted_s(self, k: int) -> float:
        """Return the last time that the k-th replica was wanted; before the first look it may have been."""
        return max((at_s for at_s, n in self.wishes if n >= k), default=self.since_s)

    def held(self, n: int, now: float, policy: ScalingPolicy) -> int:
        """Return how many of `n` replicas stay: up to the last that was wanted within its own window."""
        wanted = (k for k in range(n, 0, -1) if now - self.wanted_s(k) < self.window_s(k, policy))
        return next(wanted, 0)

    def after_growth(
        self, now: float, n_from: int, n_to: int, growth: GrowthRecord | None, policy: ScalingPolicy
    ) -> ScalingMemory:
        """The memory after replicas were added: did one of them go too soon?"""
        levels = [self.level(k) for k in range(1, max(n_to, len(self.levels)) + 1)]
        for k in range(n_from + 1, n_to + 1):
            old = levels[k - 1]
            is_regret = now - old.left_s < REGRET_WINDOWS * self.window_s(k, policy)
            n_regrets = min(old.n_regrets + 1, policy.max_regrets) if is_regret else max(old.n_regrets - 1, 0)
            levels[k - 1] = replace(old, n_regrets=n_regrets)
        return replace(self, last_change_s=now, growth=growth, levels=tuple(levels))

    def after_shrink(self, now: float, n_from: int, n_to: int) -> ScalingMemory:
        """The memory after replicas were let go."""
        levels = [self.level(k) for k in range(1, max(n_from, len(self.levels)) + 1)]
        for k in range(n_to + 1, n_from + 1):
            levels[k - 1] = replace(levels[k - 1], left_s=now)
        return replace(self, last_change_s=now, levels=tuple(levels))


@dataclass(frozen=True, slots=True)
class Decision:
    """The number of replicas there should be, with reasons."""

    at_s: float
    n: int
    """The number there is."""
    target: int
    reasons: tuple[str, ...]
    factors: Mapping[str, float | None]
    """The values looked at; for a pool the guide's six."""
    memory: ScalingMemory
    """For the next look."""
    drain: tuple[str, ...] = ()
    """The replicas to let go, so that a warm holder of every busy model stays."""

    @property
    def change(self) -> int:
        """Replicas to start, or to let go where negative."""
        return self.target - self.n

    @property
    def reason(self) -> str:
        """All reasons as one text."""
        return "; ".join(self.reasons)
