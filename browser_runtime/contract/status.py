"""The live state of pools, sessions and lanes, frozen: what remote control, events and metrics carry.

`to_wire` gives plain JSON values; `from_wire` reads them and ignores what a newer version added. Tests build
the wire from these types, never by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.vocabulary import Browser


class SessionState(StrEnum):
    """Stages of a session's life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"
    CLOSED = "closed"


class BreakerState(StrEnum):
    """The guide's three states, under its names."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class BreakerCounts:
    """A breaker's readable values."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    """In a row; what counts towards opening."""
    successes: int = 0
    """Probes that succeeded since it was last opened; what counts towards closing."""
    total_failures: int = 0
    total_successes: int = 0
    n_openings: int = 0


def _read_key(value: Any) -> ModelKey:
    return value if isinstance(value, ModelKey) else ModelKey.parse(value)


KeyText = Annotated[ModelKey, BeforeValidator(_read_key), PlainSerializer(str, return_type=str)]


class OnTheWire:
    """Values that travel as plain JSON."""

    __slots__ = ()

    @classmethod
    @cache
    def _validator(cls) -> TypeAdapter[Any]:
        """The validator of this type, made once: making one takes milliseconds."""
        return TypeAdapter(cls)

    def to_wire(self) -> dict[str, object]:
        """Plain JSON values; `from_wire` is the inverse."""
        found: dict[str, object] = self._validator().dump_python(self, mode="json")
        return found

    @classmethod
    def from_wire(cls, wire: Mapping[str, object]) -> Self:
        """The value in `wire`. Raises ValueError naming what does not fit."""
        found: Self = cls._validator().validate_python(dict(wire))
        return found


@dataclass(frozen=True, slots=True)
class LaneStatus(OnTheWire):
    """One lane of a session."""

    busy: bool = False
    models: tuple[KeyText, ...] = ()
    """The models it holds, least recently used first."""
    parts: tuple[str, ...] = ()
    """Content hashes of the graphs and weights that these models hold."""
    sharing: LaneSharing = field(default_factory=LaneSharing)


@dataclass(frozen=True, slots=True)
class SessionStatus(OnTheWire):
    """One browser session."""

    session: str
    browser: Browser
    state: SessionState = SessionState.READY
    build: str = ""
    driver: str = ""
    lanes: tuple[LaneStatus, ...] = ()
    memory_bytes: int | None = None
    """Proportional memory (PSS) of its processes."""
    runs: int = 0
    started_ms: float = 0.0
    """Duration of its start."""
    backends: Mapping[str, bool] = field(default_factory=dict)
    """True for each backend that can be used."""
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    """The device behind each backend."""
    health: float = 100.0
    """0 to 100."""
    health_factors: Mapping[str, float] = field(default_factory=dict)
    """Points lost by factor."""
    breaker: BreakerCounts = field(default_factory=BreakerCounts)

    @property
    def model_names(self) -> frozenset[str]:
        """The models that any of its lanes holds."""
        return frozenset(key.name for lane in self.lanes for key in lane.models)

    @property
    def n_busy(self) -> int:
        """Lanes that compute."""
        return sum(lane.busy for lane in self.lanes)


@dataclass(frozen=True, slots=True)
class FailingModel(OnTheWire):
    """A model that failed lately: its breaker, and what it failed with last."""

    breaker: BreakerCounts = field(default_factory=BreakerCounts)
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class FailingModels(OnTheWire):
    """The failing models of one worker: what its `model-health` event carries."""

    failing_models: Mapping[KeyText, FailingModel] = field(default_factory=dict)
    """Those that failed and have not recovered since; empty where every model is well."""


@dataclass(frozen=True, slots=True)
class PoolStatus(OnTheWire):
    """A pool of sessions."""

    browser: Browser
    """The first, and in a worker the only, browser."""
    build: str = ""
    is_simulation: bool = False
    sessions: tuple[SessionStatus, ...] = ()
    n_wanted: int = 0
    n_starting: int = 0
    n_running: int = 0
    """Requests that compute."""
    n_waiting: int = 0
    """Requests that wait for a lane."""
    load: float = 0.0
    """Busy lanes, averaged over the last seconds."""
    busy_models: tuple[str, ...] = ()
    n_restarts: int = 0
    n_guardian_restarts: int = 0
    """Times that the process that guards its browsers was killed and started anew."""
    start_failures: Mapping[str, str] = field(default_factory=dict)
    """By browser, why no session has come up since one was lost; empty as soon as one has."""
    """True: it shuts down and takes nothing new."""
    failing_models: Mapping[KeyText, FailingModel] = field(default_factory=dict)
    """Models that failed and have not recovered since."""


@dataclass(frozen=True, slots=True)
class SystemMemory:
    """Memory of the machine a worker runs on."""

    percent: float
    """In use."""
    total_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerStatus(OnTheWire):
    """A worker's answer to `celery inspect browser_status`."""

    pool: PoolStatus
    queues: tuple[str, ...] = ()
    n_slots: int = 0
    """Messages it takes at a time."""
    n_answered: int = 0
    """Since its process began."""
    system_memory: SystemMemory | None = None
