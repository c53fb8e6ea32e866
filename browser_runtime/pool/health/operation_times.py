"""Recent times of runs and loads by model, browser and backend, and the time limits that follow."""

from __future__ import annotations

import math
import time

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.policies.latencies import MAX_KEYS, Latencies, LatencyKey, LatencySummary
from browser_runtime.policies.time_limits import (
    UNITS_OF_A_STEP,
    TimeLimit,
    WarmUp,
    limit_load,
    limit_run,
    limit_silence,
)
from browser_runtime.session.replies import RunResult
from browser_runtime.session.timed_calls import LimitSource, Operation
from browser_runtime.settings import RuntimeSettings

# Summing up the last 64 runs takes 0.1 ms, a tenth of what a small model's whole run takes here.
SUMMARY_TTL_S = 0.5
# Of so few runs each says much, and summing them up takes no time.
FEW_RUNS = 8


class Summaries:
    """Latencies with their summaries, which are at most SUMMARY_TTL_S old, since every request asks."""

    def __init__(self) -> None:
        self._latencies = Latencies()
        self._summaries: dict[LatencyKey, tuple[float, LatencySummary | None]] = {}

    def record(self, key: LatencyKey, ms: float, n_items: int = 1) -> None:
        """Keep one measurement."""
        self._latencies.record(key, ms, time.monotonic(), n_items)

    def take(self, key: LatencyKey) -> LatencySummary | None:
        """Return the summary of `key`; None where nothing was measured."""
        now = time.monotonic()
        made_at, known = self._summaries.get(key, (-math.inf, None))
        if known is None or known.n_runs < FEW_RUNS or now - made_at > SUMMARY_TTL_S:
            known = self._latencies.summary(key, now)
            if len(self._summaries) >= 2 * MAX_KEYS:
                self._summaries.clear()
            self._summaries[key] = (now, known)
        return known


class OperationTimes:
    """Runs by their number of items and by their amount of work, and loads."""

    def __init__(self) -> None:
        self.runs, self._work, self._loads = Summaries(), Summaries(), Summaries()

    def ran(self, key: LatencyKey, result: RunResult, n_items: int, n_units: int) -> None:
        """Record a run that went well."""
        if result.load_ms:
            self._loads.record(key, result.load_ms)
        if n_items:
            self.runs.record(key, result.call_ms, n_items)
            self._work.record(key, result.call_ms, n_units)

    def limits(
        self, browser: Browser, n_units: int, settings: RuntimeSettings, least_s: float | None = None
    ) -> LimitSource:
        """Return the source of time limits for a run of that much work; of text, of prompts that long."""

        def limit(operation: Operation, key: ModelKey, warm_up: WarmUp | None) -> TimeLimit:
            known = _latency_key(key, browser)
            loads = self._loads.take(known)
            if operation is Operation.LOAD:
                return limit_load(loads, settings.load_timeout_s).at_least(least_s)
            rule = limit_run if operation is Operation.RUN else limit_silence
            n = UNITS_OF_A_STEP if operation is Operation.STEP else n_units
            return rule(self._work.take(known), n, loads, settings.run_timeout_s, warm_up).at_least(least_s)

        return limit


def _latency_key(key: ModelKey, browser: Browser) -> LatencyKey:
    assert key.backend is not None, "an operation is on a backend"
    return LatencyKey(key.anywhere(), browser, key.backend)
