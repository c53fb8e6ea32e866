"""Measured latencies by (model, browser, backend): recent ones weigh more, the store stays small."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.scaling.trends import theil_sen_slope

# A machine's speed changes with what else runs on it; ten minutes later a measurement counts half.
HALF_LIFE_S = 600.0
# Enough for a p95 (three of 64 lie above it); older runs of a busy key say nothing new.
WINDOW_RUNS = 64
# Models of a worker x browsers x backends: far more than are ever loaded at once.
MAX_KEYS = 256
# Below this weight a batch size's own median is less sure than the line through all sizes.
MIN_SIZE_WEIGHT = 3.0


@dataclass(frozen=True, slots=True)
class LatencyKey:
    """A model as it is opened, in a browser, on a backend: what is measured together."""

    model: ModelKey
    browser: Browser
    backend: Backend


@dataclass(frozen=True, slots=True)
class BatchCost:
    """A line through the run times of batches: `fixed_ms + per_item_ms * n_items`."""

    fixed_ms: float
    per_item_ms: float

    def predict_ms(self, n_items: int) -> float:
        """The expected run time of a batch."""
        return self.fixed_ms + self.per_item_ms * n_items


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Summary of the recent runs of one key."""

    n_runs: int
    weight: float
    """Runs counted by freshness: how much evidence there is, in fresh runs."""
    p50_ms: float
    p95_ms: float
    cost: BatchCost
    sizes: tuple[tuple[int, float], ...] = ()
    """Median by number of items, only for sizes measured often enough."""

    def expected_ms(self, n_items: int = 1) -> float:
        """Return the run time of `n_items`: as measured at that size, else on the line through all sizes."""
        return dict(self.sizes).get(n_items, self.cost.predict_ms(n_items))


@dataclass(frozen=True, slots=True)
class _Run:
    at_s: float
    ms: float
    n_items: int


class Latencies:
    """A bounded store of run times. The least recently recorded key goes first."""

    def __init__(
        self, half_life_s: float = HALF_LIFE_S, window: int = WINDOW_RUNS, max_keys: int = MAX_KEYS
    ) -> None:
        self._half_life_s, self._window, self._max_keys = half_life_s, window, max_keys
        self._runs: OrderedDict[LatencyKey, deque[_Run]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def record(self, key: LatencyKey, ms: float, now: float, n_items: int = 1) -> None:
        """Keep one run of a loaded model. Raises ValueError for what cannot be a measurement."""
        if not (math.isfinite(ms) and ms >= 0 and n_items >= 1):
            raise ValueError(f"a run of {n_items} items cannot take {ms} ms")
        self._runs.setdefault(key, deque(maxlen=self._window)).append(_Run(now, ms, n_items))
        self._runs.move_to_end(key)
        while len(self._runs) > self._max_keys:
            self._runs.popitem(last=False)

    def summary(self, key: LatencyKey, now: float) -> LatencySummary | None:
        """Summarise the runs of `key`; None where nothing was measured."""
        runs = self._runs.get(key)
        if not runs:
            return None
        weighed = [(run, self._freshness(run, now)) for run in runs]
        times = [(run.ms, weight) for run, weight in weighed]
        medians = _medians_by_size(weighed)
        return LatencySummary(
            len(runs),
            sum(weight for _, weight in times),
            weighted_quantile(times, 0.5),
            weighted_quantile(times, 0.95),
            _fit_line({size: middle for size, (middle, _) in medians.items()}),
            tuple((size, middle) for size, (middle, w) in medians.items() if w >= MIN_SIZE_WEIGHT),
        )

    def _freshness(self, run: _Run, now: float) -> float:
        """1 for a run of this moment; never so small that it vanishes."""
        half_lives = min(max(now - run.at_s, 0.0) / self._half_life_s, 100.0)
        return math.exp2(-half_lives)


def weighted_quantile(values: Iterable[tuple[float, float]], q: float) -> float:
    """The smallest value with the share `q` of the weight at or below it. `values`: (value, weight) pairs."""
    ordered = sorted(values)
    total = sum(weight for _, weight in ordered)
    left = q * total
    for value, weight in ordered:
        left -= weight
        if left <= total * 1e-9:  # rounding must not move a median to the next value
            return value
    return ordered[-1][0]


def _medians_by_size(weighed: list[tuple[_Run, float]]) -> dict[int, tuple[float, float]]:
    """Number of items -> (median run time, weight)."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for run, weight in weighed:
        groups.setdefault(run.n_items, []).append((run.ms, weight))
    return {n: (weighted_quantile(group, 0.5), sum(w for _, w in group)) for n, group in groups.items()}


def _fit_line(medians: dict[int, float]) -> BatchCost:
    """The robust line through (size, median); neither part is negative.

    With a single size the cost counts as proportional, which promises too little of larger batches, never too
    much.
    """
    slope = theil_sen_slope([(float(size), ms) for size, ms in medians.items()])
    if slope is None:
        ((size, ms),) = medians.items()
        return BatchCost(0.0, ms / size)
    per_item_ms = max(slope, 0.0)
    return BatchCost(max(median(ms - per_item_ms * n for n, ms in medians.items()), 0.0), per_item_ms)
