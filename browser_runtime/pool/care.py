"""What the pool knows of each session's condition: breaker, health, latencies; when it must go."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from browser_runtime.deciders.breaker import Breaker
from browser_runtime.deciders.health import HealthSample, HealthState
from browser_runtime.deciders.latencies import Latencies, LatencyKey
from browser_runtime.errors import BadOutput, BrowserDied, InferenceError, OutOfMemory, PageFault, SessionLost
from browser_runtime.replies import Ran
from browser_runtime.session import Session
from browser_runtime.vocabulary import Browser

# Failures that say something of the session; the others are the request's own doing.
TELLING = (SessionLost, OutOfMemory, BadOutput, PageFault)


@dataclass
class Condition:
    """One session's breaker and health."""

    breaker: Breaker = field(default_factory=Breaker)
    health: HealthState = field(default_factory=HealthState)
    n_since_golden: int = 0
    memory_samples: list[tuple[float, float]] = field(default_factory=list)
    """(monotonic seconds, bytes), oldest first."""


class Care:
    """The condition of every session, by name, and the latencies of every model."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self._load_ms: dict[tuple[str, Browser], float] = {}
        self._conditions: dict[str, Condition] = {}

    def of(self, session: Session) -> Condition:
        """The session's condition; a new session is in the best."""
        return self._conditions.setdefault(session.name, Condition())

    def forget(self, session: Session) -> None:
        """The session has ended."""
        self._conditions.pop(session.name, None)

    def load_ms(self, model: str, browser: Browser) -> float | None:
        """How long that browser last took to load the model; None when it never did."""
        return self._load_ms.get((model, browser))

    def ran(self, session: Session, model: str, ran: Ran, n_items: int) -> None:
        """A run went well: its time counts, unless the model's loading was in it."""
        now = time.monotonic()
        condition = self.of(session)
        key = LatencyKey(model, session.installation.browser, ran.loaded.backend)
        known = self.latencies.summary(key, now)
        if ran.loaded_now:
            self._load_ms[model, session.installation.browser] = ran.total_ms - ran.call_ms
        condition.breaker.record_success(now)
        if not n_items:  # it was only loaded
            return
        slowdown = None if known is None else ran.call_ms / max(known.expected_ms(n_items), 0.1)
        self.latencies.record(key, ran.call_ms, now, n_items)
        condition.health = condition.health.after(HealthSample(now, ok=True, slowdown=slowdown))
        condition.n_since_golden += 1

    def failed(self, session: Session, error: InferenceError) -> None:
        """A run failed; only what says something of the session counts against it."""
        now = time.monotonic()
        condition = self.of(session)
        if isinstance(error, TELLING):
            condition.breaker.record_failure(now, crash=isinstance(error, BrowserDied))
            condition.health = condition.health.after(HealthSample(now, ok=False))
        else:
            condition.breaker.withdraw(now)

    def sampled(self, session: Session, limit_bytes: float) -> None:
        """The session's memory was measured."""
        if session.memory_bytes is None:
            return
        now = time.monotonic()
        condition = self.of(session)
        fraction = session.memory_bytes / limit_bytes
        condition.health = condition.health.after(HealthSample(now, memory_fraction=fraction))
        condition.memory_samples = [*condition.memory_samples[-63:], (now, float(session.memory_bytes))]
