"""The browser sessions of all workers, as their latest `browser-health` events told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

# Workers publish each session every 5 s (workers/steps.py); two may be late before it is worth a word.
SILENT_AFTER_S = 15.0
# A dead worker's sessions stay on the page so long, for whoever looks for the reason.
FORGET_AFTER_S = 600.0
# Points lost by a factor that are worth a word; all of them fade slowly.
LEAST_POINTS = 0.5
# What an adapter is named for, best first.
ACCELERATORS = ("webgpu", "webnn", "wasm")


class Lane(BaseModel):
    """One lane of a session, and the keys of the models it holds."""

    busy: bool = False
    models: tuple[str, ...] = ()


class Device(BaseModel):
    """What computes behind a backend; `software` is None where the browser hides it."""

    name: str = ""
    software: bool | None = None


class Circuit(BaseModel):
    """A session's breaker."""

    state: str = ""
    failures: int = 0
    n_openings: int = 0


class HealthEvent(BaseModel):
    """A `browser-health` event. Fields that a worker of another version lacks have defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hostname: str
    session: str
    browser: str = ""
    build: str = ""
    state: str = ""
    lanes: tuple[Lane, ...] = ()
    memory_bytes: int | None = None
    runs: int = 0
    health: float | None = None
    health_factors: dict[str, float] = {}
    """Points lost by factor."""
    breaker: Circuit = Circuit()
    backends: dict[str, bool] = {}
    adapters: dict[str, Device] = {}


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event and when it came, by this machine's monotonic clock: other machines' clocks may differ."""

    told: HealthEvent
    at: float


class SessionBook:
    """The latest event of every session, by worker. Every method takes the monotonic time in seconds."""

    def __init__(self) -> None:
        self._workers: dict[str, dict[str, ReceivedEvent]] = {}
        self.n_refused = 0
        """Events that could not be read."""

    def hear(self, event: dict[str, Any], now: float) -> None:
        """Note an event; one that makes no sense is only counted, since anybody's worker may send it."""
        try:
            told = HealthEvent.model_validate(event)
        except ValidationError:
            self.n_refused += 1
            return
        mine = self._workers.setdefault(told.hostname, {})
        mine[told.session] = ReceivedEvent(told, now)
        for name in [name for name, heard in mine.items() if now - heard.at > SILENT_AFTER_S]:
            del mine[name]  # its worker goes on publishing without it: the session has ended

    def leave(self, worker: str) -> None:
        """The worker said that it stops."""
        self._workers.pop(worker, None)

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Every session as plain values, those that need a look first."""
        for worker, sessions in list(self._workers.items()):
            if all(now - heard.at > FORGET_AFTER_S for heard in sessions.values()):
                del self._workers[worker]
        found = [session_row(heard, now) for mine in self._workers.values() for heard in mine.values()]
        return sorted(found, key=lambda row: (*_calm(row), row["worker"], row["session"]))


def _calm(row: dict[str, Any]) -> tuple[bool, bool, float]:
    """Sorts trouble first: silence, an open breaker, a low score."""
    health = 100.0 if row["health"] is None else row["health"]
    return not row["silent"], row["breaker"] in ("CLOSED", ""), health


def session_row(heard: ReceivedEvent, now: float) -> dict[str, Any]:
    """One session as pages, JSON and gauges show it."""
    told = heard.told
    device = _device(told)
    return {
        "worker": told.hostname,
        "session": told.session,
        "browser": told.browser,
        "build": told.build,
        "state": told.state,
        "silent": now - heard.at > SILENT_AFTER_S,
        "age_s": round(now - heard.at, 1),
        "health": told.health,
        "lowered_by": {
            name: points for name, points in told.health_factors.items() if points >= LEAST_POINTS
        },
        "breaker": told.breaker.state,
        "failures": told.breaker.failures,
        "n_openings": told.breaker.n_openings,
        "n_lanes": len(told.lanes),
        "n_busy": sum(lane.busy for lane in told.lanes),
        "models": sorted({_model(key) for lane in told.lanes for key in lane.models}),
        "memory_bytes": told.memory_bytes,
        "runs": told.runs,
        "backends": [name for name, can in told.backends.items() if can],
        "adapter": device.name,
        "is_software": device.software,
    }


def _device(told: HealthEvent) -> Device:
    """The device of the best backend that was proved."""
    for backend in ACCELERATORS:
        if told.backends.get(backend) and backend in told.adapters:
            return told.adapters[backend]
    return Device()


def _model(key: str) -> str:
    """`name on backend, precision` of a model's key (browser_runtime/session/loading.py)."""
    name, _, backend, precision, *_ = (*key.split("|"), "", "", "", "")
    return f"{name} on {backend}, {precision}" if backend else name


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures above the table."""
    return {
        "sessions": len(rows),
        "silent": sum(row["silent"] for row in rows),
        "open_breakers": sum(row["breaker"] not in ("CLOSED", "") for row in rows),
        "busy": sum(row["n_busy"] for row in rows),
        "lanes": sum(row["n_lanes"] for row in rows),
        "memory_bytes": sum(row["memory_bytes"] or 0 for row in rows),
        "workers": len({row["worker"] for row in rows}),
    }
