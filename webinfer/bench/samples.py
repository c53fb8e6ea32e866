"""Timings of repeated work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a series of durations, in milliseconds."""

    p50_ms: float
    p95_ms: float
    min_ms: float
    n: int


def summarise(samples_ms: Sequence[float]) -> Summary:
    """Median, 95th percentile and least of `samples_ms` (at least two)."""
    cuts = statistics.quantiles(samples_ms, n=20, method="inclusive")
    return Summary(statistics.median(samples_ms), cuts[18], min(samples_ms), len(samples_ms))


def time_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    """(duration of `work` in milliseconds, its result)."""
    start = time.perf_counter()
    value = work()
    return (time.perf_counter() - start) * 1000, value


def repeat(work: Callable[[], Any], n: int) -> list[Any]:
    """The results of `n` calls of `work`."""
    return [work() for _ in range(n)]


def alternate(works: dict[str, Callable[[], Any]], n: int) -> dict[str, list[tuple[float, Any]]]:
    """The timings of `n` rounds of every work in turn, so that drift of the machine affects all alike."""
    samples: dict[str, list[tuple[float, Any]]] = {name: [] for name in works}
    for _ in range(n):
        for name, work in works.items():
            samples[name].append(time_ms(work))
    return samples
