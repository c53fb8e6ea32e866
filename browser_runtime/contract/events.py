"""Events of a pool besides its replies, and the observer of them: for a history and for metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from browser_runtime.contract.answers import LoadAnswer
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import FailedAttempt, InferenceError
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Browser


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Name, browser and versions of a session."""

    name: str
    browser: Browser
    build: str
    driver: str = ""


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model was opened on a backend, or refused by it."""

    session: SessionInfo
    model: ModelKey
    answer: LoadAnswer | None
    """The page's answer to `load`; None where it was refused."""
    error: InferenceError | None = None


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A session was opened, closed, died, recycled, reconnected or demoted."""

    session: SessionInfo
    change: str
    capabilities: Capabilities
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PoolScaled:
    """Adaptive scaling changed the number of sessions."""

    browser: Browser
    n: int
    """Sessions there were."""
    target: int
    reasons: tuple[str, ...]
    factors: Mapping[str, float | None]
    drain: tuple[str, ...] = ()
    """The sessions that go."""
    at: float = field(default_factory=time.time)
    """Unix time."""

    @property
    def change(self) -> int:
        """Sessions started, or let go where negative."""
        return self.target - self.n

    def to_plain(self) -> dict[str, object]:
        """Plain values, for `get_metrics` and logs."""
        return {
            "at": self.at,
            "browser": str(self.browser),
            "sessions": self.n,
            "target": self.target,
            "change": self.change,
            "drain": list(self.drain),
            "reasons": list(self.reasons),
            "factors": dict(self.factors),
        }


class PoolObserver:
    """Called on the pool's loop, in the midst of its work: each method returns at once and never raises.

    By itself it ignores everything.
    """

    def loaded(self, event: ModelLoaded) -> None:
        """A model was opened or refused."""

    def connected(self, event: SessionChanged) -> None:
        """A session came, went or changed."""

    def scaled(self, event: PoolScaled) -> None:
        """The pool grew or shrank by itself."""

    def attempt_failed(self, event: FailedAttempt) -> None:
        """An attempt at a request failed; the request goes on, unless the step is to fail."""


class PoolObservers(PoolObserver):
    """Several observers as one, called in their order."""

    def __init__(self, *observers: PoolObserver) -> None:
        self._observers = list(observers)

    def add(self, observer: PoolObserver) -> None:
        """Call this one, too."""
        self._observers.append(observer)

    def loaded(self, event: ModelLoaded) -> None:
        """See `PoolObserver`."""
        for observer in self._observers:
            observer.loaded(event)

    def connected(self, event: SessionChanged) -> None:
        """See `PoolObserver`."""
        for observer in self._observers:
            observer.connected(event)

    def scaled(self, event: PoolScaled) -> None:
        """See `PoolObserver`."""
        for observer in self._observers:
            observer.scaled(event)

    def attempt_failed(self, event: FailedAttempt) -> None:
        """See `PoolObserver`."""
        for observer in self._observers:
            observer.attempt_failed(event)
