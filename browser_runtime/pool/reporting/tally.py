"""Counts, throughput and latencies of one process's requests."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from browser_runtime.contract.messages import Reply

# A minute of history says how it goes now; beyond 4096 runs in it, the newest stand for all.
WINDOW_S, MAX_RUNS = 60.0, 4096


@dataclass(frozen=True, slots=True)
class TallyEntry:
    """One request that was answered."""

    at: float
    """Monotonic."""
    model: str
    browser: str
    backend: str
    inference_ms: float
    total_ms: float


@dataclass
class Tally:
    """Counts since the start and the runs of the last minute. Written and read on one loop."""

    n_answered: int = 0
    n_failed: int = 0
    n_loads: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    _runs: deque[TallyEntry] = field(default_factory=lambda: deque(maxlen=MAX_RUNS))

    def answered(self, reply: Reply) -> None:
        """A request was answered."""
        self.n_answered += 1
        times = (reply.inference_time_ms, reply.total_time_ms)
        self._runs.append(
            TallyEntry(time.monotonic(), reply.model_name, reply.browser, reply.backend, *times)
        )

    def failed(self, code: str) -> None:
        """A request failed."""
        self.n_failed += 1
        self.errors[code] = self.errors.get(code, 0) + 1

    def performance(self) -> dict[str, object]:
        """The counts, and the throughput and latencies of the last minute."""
        now = time.monotonic()
        runs = [run for run in self._runs if now - run.at <= WINDOW_S]
        return {
            "requests": self.n_answered + self.n_failed,
            "answered": self.n_answered,
            "failed": self.n_failed,
            "errors": dict(self.errors),
            "model_loads": self.n_loads,
            "window_s": WINDOW_S,
            "throughput_per_s": len(runs) / WINDOW_S,
            "latency_ms": summarise([run.total_ms for run in runs]),
            "by_model": [_group(key, runs) for key in sorted({_key(run) for run in runs})],
        }


def _key(run: TallyEntry) -> tuple[str, str, str]:
    return run.model, run.browser, run.backend


def _group(key: tuple[str, str, str], runs: list[TallyEntry]) -> dict[str, object]:
    model, browser, backend = key
    mine = [run for run in runs if _key(run) == key]
    return {
        "model": model,
        "browser": browser,
        "backend": backend,
        "inference_ms": summarise([run.inference_ms for run in mine]),
        "total_ms": summarise([run.total_ms for run in mine]),
    }


def summarise(times_ms: list[float]) -> dict[str, float]:
    """n, mean, p50 and p95; only n where there is none."""
    if not times_ms:
        return {"n": 0}
    p50, p95 = np.percentile(times_ms, [50, 95])
    return {"n": len(times_ms), "mean": float(np.mean(times_ms)), "p50": float(p50), "p95": float(p95)}
