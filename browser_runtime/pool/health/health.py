"""Breaker, health and memory of each session, latencies of each model, losses of devices."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import psutil

from browser_runtime.contract.answers import is_recalled
from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.policies.breaker import Breaker
from browser_runtime.policies.categories import Blame, assign_blame
from browser_runtime.policies.devices import DeviceRecord, DeviceStep
from browser_runtime.policies.health import HealthSample, HealthState
from browser_runtime.policies.latencies import LatencyKey, LatencySummary
from browser_runtime.policies.recycling import MAX_SAMPLES, MemorySample
from browser_runtime.pool.health.model_breakers import ModelBreakers
from browser_runtime.pool.health.operation_times import SUMMARY_TTL_S, OperationTimes
from browser_runtime.session.replies import RunResult
from browser_runtime.session.session import Session

# Weight of the newest request in a model's running service time.
SERVICE_SHARE = 0.2
# A defect of the page that so many models meet, none of them running well in between, is the session's.
DEFECTIVE_MODELS = 3


@dataclass
class SessionHealth:
    """One session's breaker and health."""

    breaker: Breaker = field(default_factory=Breaker)
    health: HealthState = field(default_factory=HealthState)
    memory_samples: list[MemorySample] = field(default_factory=list)
    """Oldest first."""
    settled_at_s: float = -math.inf
    """Time of the last load of a model: memory before that is no part of its trend."""
    was_unhealthy: bool = False
    """At the last check."""
    defective: set[ModelKey] = field(default_factory=set)
    """Models that met a defect of the page since anything ran well."""


class PoolHealth:
    """The condition of every session, by name, and the latencies of every model."""

    def __init__(self) -> None:
        self.times = OperationTimes()
        self.models = ModelBreakers()
        self.service_s: dict[str, float] = {}
        """Seconds of lane time that a request of each model takes, lately."""
        self._load_ms: dict[tuple[ModelKey, Browser], float] = {}
        self._devices: dict[tuple[Browser, Backend], DeviceRecord] = {}
        self._conditions: dict[str, SessionHealth] = {}
        self._free_memory = (-math.inf, 0)

    def free_memory_bytes(self) -> int:
        """Return the memory that is free; at most SUMMARY_TTL_S old, since every request asks."""
        now = time.monotonic()
        if now - self._free_memory[0] > SUMMARY_TTL_S:
            self._free_memory = (now, int(psutil.virtual_memory().available))
        return self._free_memory[1]

    def of(self, session: Session) -> SessionHealth:
        """Return the session's condition; a new session's is perfect."""
        return self._conditions.setdefault(session.name, SessionHealth())

    def forget(self, session: Session) -> None:
        """Forget a session that has ended."""
        self._conditions.pop(session.name, None)

    def measured(self, key: LatencyKey) -> LatencySummary | None:
        """Return the summary of a model's run times."""
        return self.times.runs.take(key)

    def load_ms(self, model: ModelKey, browser: Browser) -> float | None:
        """Return the time of the model's last load in that browser; None when there was none."""
        return self._load_ms.get((model, browser))

    def ran(self, session: Session, model: ModelKey, result: RunResult, n_items: int, n_units: int) -> None:
        """Record a run of `n_items` that went well; `n_units` is the work in them."""
        now = time.monotonic()
        condition = self.of(session)
        key = LatencyKey(model, session.installation.browser, result.loaded.backend)
        known = self.measured(key)
        is_measured = not is_recalled(result.answer)
        self.times.ran(key, result, n_items if is_measured else 0, n_units)
        if result.load_ms:
            self._load_ms[model, session.installation.browser] = result.total_ms - result.call_ms
        condition.breaker.record_success(now)
        condition.defective.clear()
        self.models.succeeded(model)
        if not n_items:  # it was only loaded
            return
        slowdown = (
            None
            if known is None or not is_measured
            else result.call_ms / max(known.expected_ms(n_items), 0.1)
        )
        condition.health = condition.health.after(HealthSample(now, ok=True, slowdown=slowdown))
        if result.load_ms:
            condition.settled_at_s = now

    def failed(self, session: Session, model: ModelKey, error: InferenceError) -> None:
        """Record a failed run; only errors that are the session's own count against it."""
        now = time.monotonic()
        condition = self.of(session)
        blame = assign_blame(error)
        if blame is Blame.DEFECT:
            condition.defective.add(model)
            blame = Blame.FAILURE if len(condition.defective) >= DEFECTIVE_MODELS else Blame.NONE
        if blame is not Blame.NONE:
            condition.breaker.record_failure(now, crash=blame is Blame.CRASH)
            condition.health = condition.health.after(HealthSample(now, ok=False))
        else:
            condition.breaker.withdraw(now)

    def sampled(self, session: Session, limit_bytes: float) -> None:
        """Record the session's memory."""
        if session.memory_bytes is None:
            return
        now = time.monotonic()
        condition = self.of(session)
        fraction = session.memory_bytes / limit_bytes
        condition.health = condition.health.after(HealthSample(now, memory_fraction=fraction))
        sample = MemorySample(now, session.memory_bytes)
        condition.memory_samples = [*condition.memory_samples[-MAX_SAMPLES:], sample]

    def dropped(self, session: Session) -> None:
        """Record that a connection dropped and was taken up again."""
        condition, now = self.of(session), time.monotonic()
        condition.health = condition.health.after(HealthSample(now, dropped=True))

    def pinged(self, session: Session, ping_ms: float) -> None:
        """Record the time of an empty echo."""
        condition, now = self.of(session), time.monotonic()
        condition.health = condition.health.after(HealthSample(now, ping_ms=ping_ms))

    def served(self, model: str, lane_s: float) -> None:
        """Record a request's share of its batch in lane time."""
        known = self.service_s.get(model, lane_s)
        self.service_s[model] = known + SERVICE_SHARE * (lane_s - known)

    def demoted(self, browser: Browser) -> list[Backend]:
        """The browser's backends that are left for good, in sessions to come too."""
        return [
            backend for (of, backend), record in self._devices.items() if of is browser and record.is_demoted
        ]

    def device_step(self, browser: Browser) -> DeviceStep:
        """Return the step for the browser's latest loss of a device; a new device where none is known yet."""
        records = [record for (of, _), record in self._devices.items() if of is browser and record.losses_s]
        if not records:
            return DeviceStep.NEW_DEVICE
        return max(records, key=lambda record: record.losses_s[-1]).step

    def lost_device(self, browser: Browser, backend: Backend) -> DeviceStep:
        """Record the loss of a device and return the step that it calls for."""
        record = self._devices.get((browser, backend), DeviceRecord()).after_loss(time.monotonic())
        self._devices[browser, backend] = record
        return record.step
