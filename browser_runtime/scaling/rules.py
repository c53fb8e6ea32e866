"""The rules that every scaling decision obeys, whatever its replicas are: the first that has a say decides.

Bounds hold at once. Replicas go under memory pressure. More start when more are wanted than there are,
starting ones included, unless an obstacle is named. One goes when it was not wanted in a whole window, which
every regret doubles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from browser_runtime.scaling.drain import choose_drain
from browser_runtime.scaling.values import Decision, GrowthRecord, Replica, ScalingMemory, ScalingPolicy


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the replicas, and what a policy makes of it."""

    replicas: tuple[Replica, ...]
    memory: ScalingMemory
    """Of earlier looks; the wish of this one is added by `decide`."""
    wanted: int
    """Usable replicas wanted, within no bounds yet."""
    reasons: tuple[str, ...]
    """The demands for more than there are."""
    summary: str
    """The reason where nothing changes."""
    factors: Mapping[str, float | None] = field(default_factory=dict)
    is_full: bool = False
    """True where throughput shows what the replicas can do, not what was asked of them."""
    may_shrink: bool = True
    memory_percent: float = 0.0
    """System memory in use."""
    replica_memory_percent: float | None = None
    """One replica's part of it, as measured."""
    throughput_per_s: float | None = None
    """Requests answered a second, lately."""
    busy_models: frozenset[str] = frozenset()

    @property
    def n(self) -> int:
        """The number of replicas there are."""
        return len(self.replicas)

    @property
    def n_usable(self) -> int:
        """Those that count as capacity."""
        return sum(replica.is_usable for replica in self.replicas)

    @property
    def n_starting(self) -> int:
        """Those on their way."""
        return sum(replica.is_starting for replica in self.replicas)


@dataclass(frozen=True, slots=True)
class _Moment:
    """An observation at a time, under a policy."""

    seen: Observation
    memory: ScalingMemory
    now: float
    policy: ScalingPolicy

    @property
    def cools(self) -> bool:
        """Return whether the last change is too young for another."""
        return self.now - self.memory.last_change_s < self.policy.cool_down_s

    @property
    def room(self) -> int:
        """Return the number that still fits into memory; those that start are not yet in what is used."""
        free = self.policy.memory_percent - self.seen.memory_percent
        if free < 0:
            return 0
        each = self.seen.replica_memory_percent
        return math.floor(free / each) - self.seen.n_starting if each else self.policy.max_replicas

    def drain(self, n: int, *, force: bool = False) -> tuple[str, ...]:
        """Up to `n` replicas to let go, one after the other, each time as if those before were gone."""
        left = list(self.seen.replicas)

        def choose() -> str:
            name = choose_drain(left, self.seen.busy_models, force) or ""
            left[:] = [replica for replica in left if replica.name != name]
            return name

        return tuple(takewhile(bool, (choose() for _ in range(n))))


@dataclass(frozen=True, slots=True)
class _Verdict:
    target: int
    reasons: tuple[str, ...]
    drain: tuple[str, ...] = ()


def decide(seen: Observation, now: float, policy: ScalingPolicy) -> Decision:
    """Returns the decision at `now` (monotonic seconds). Hand its `memory` on to the next look."""
    memory = seen.memory.after_wish(now, min(seen.wanted, policy.max_replicas), policy)
    moment = _Moment(seen, memory, now, policy)
    verdict = next(found for rule in RULES if (found := rule(moment)) is not None)
    after = _remember(moment, verdict)
    return Decision(now, seen.n, verdict.target, verdict.reasons, seen.factors, after, verdict.drain)


def _keep_bounds(moment: _Moment) -> _Verdict | None:
    """The bounds hold at once, whatever the cool-down says; memory only lets the first replica through."""
    policy, n = moment.policy, moment.seen.n
    if n > policy.max_replicas:
        drain = moment.drain(n - policy.max_replicas, force=True)
        return _Verdict(n - len(drain), (f"more than {policy.max_replicas} {policy.noun}",), drain)
    if n < policy.min_replicas:
        room = max(moment.room, 1 - n)
        target = min(policy.min_replicas, n + room)
        reason = f"fewer than {policy.min_replicas} {policy.noun}"
        return _Verdict(target, (reason,)) if room > 0 else None
    return None


def _shed_memory(moment: _Moment) -> _Verdict | None:
    """One goes under memory pressure; never the last, and none that would have to start again."""
    seen, policy = moment.seen, moment.policy
    is_tight = seen.memory_percent > policy.shed_percent
    if not is_tight or seen.n <= max(policy.min_replicas, 1) or moment.cools:
        return None
    drain = moment.drain(1)
    reasons = (f"system memory at {seen.memory_percent:.0f} %",)
    return _Verdict(seen.n - 1, reasons, drain) if drain else None


def _grow(moment: _Moment) -> _Verdict | None:
    """More replicas, or why not although they are wanted."""
    seen, policy = moment.seen, moment.policy
    missing = seen.wanted - seen.n_usable
    if missing <= 0:
        return None
    if obstacle := _find_obstacle(moment):
        return _Verdict(seen.n, (*seen.reasons, obstacle))
    step = max(math.floor(seen.n * (policy.max_growth - 1)), 1) if policy.max_growth < math.inf else missing
    target = min(seen.n + min(missing, step, moment.room), policy.max_replicas)
    return _Verdict(target, seen.reasons)


def _find_obstacle(moment: _Moment) -> str:
    """Return the obstacle that keeps wanted replicas from starting; "" where there is none."""
    seen, policy = moment.seen, moment.policy
    if seen.n >= policy.max_replicas:
        return f"not more than {policy.max_replicas} {policy.noun}"
    if moment.room <= 0:
        return f"system memory at {seen.memory_percent:.0f} % (limit {policy.memory_percent:.0f} %)"
    if moment.cools and seen.n_usable:
        return f"changed less than {policy.cool_down_s:.0f} s ago"
    return _find_lack_of_gain(moment)


def _find_lack_of_gain(moment: _Moment) -> str:
    """Return the obstacle of a full machine, which further replicas only share."""
    seen, policy, growth = moment.seen, moment.policy, moment.memory.growth
    if growth is None or seen.throughput_per_s is None or not seen.is_full:
        return ""
    is_old = moment.now - growth.at_s > policy.gain_memory_s
    has_gained = seen.throughput_per_s >= growth.throughput_per_s * (1 + policy.min_gain)
    if is_old or has_gained or seen.n <= growth.n_before:
        return ""
    if seen.n_starting:
        return f"{seen.n_starting} {policy.noun} start, and are waited for"
    return (
        f"{seen.n} {policy.noun} answer {seen.throughput_per_s:.2f}/s, {growth.n_before} answered "
        f"{growth.throughput_per_s:.2f}/s: the machine is the limit"
    )


def _shrink(moment: _Moment) -> _Verdict | None:
    """Those not wanted within the window go, unusable ones first; none while too few are usable."""
    seen, policy, memory = moment.seen, moment.policy, moment.memory
    n_held = memory.held(seen.n, moment.now, policy)
    n_left = max(n_held, policy.min_replicas)
    n_over = seen.n - n_left if seen.n_usable >= n_left else 0
    if not seen.may_shrink or seen.n_starting or n_over <= 0 or moment.cools:
        return None
    drain = moment.drain(n_over if policy.max_shrink is None else min(n_over, policy.max_shrink))
    if not drain:
        return _Verdict(seen.n, (f"each of the {policy.noun} is the only warm holder of a busy model",))
    window_s = memory.window_s(n_held + 1, policy)
    reason = f"{seen.summary}, and in {window_s:.0f} s at most {n_held} {policy.noun} were wanted"
    return _Verdict(seen.n - len(drain), (reason,), drain)


def _stay(moment: _Moment) -> _Verdict:
    return _Verdict(moment.seen.n, (moment.seen.summary,))


# The first that has something to say decides.
RULES: tuple[Callable[[_Moment], _Verdict | None], ...] = (_keep_bounds, _shed_memory, _grow, _shrink, _stay)


def _remember(moment: _Moment, verdict: _Verdict) -> ScalingMemory:
    """Return the memory after the decision; a growth is kept where its gain can be measured later."""
    seen, memory, now = moment.seen, moment.memory, moment.now
    if verdict.target == seen.n:
        return memory
    if verdict.target < seen.n:
        return memory.after_shrink(now, seen.n, verdict.target)
    is_telling = seen.is_full and seen.throughput_per_s is not None
    growth = GrowthRecord(now, seen.n, seen.throughput_per_s or 0.0) if is_telling else None
    return memory.after_growth(now, seen.n, verdict.target, growth, moment.policy)
