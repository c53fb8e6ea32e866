"""The browser sessions of all workers, by their latest `browser-health` events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.status import BreakerState, SessionStatus

# Workers publish each session every 5 s (workers/steps.py); two may be late before it is worth a word.
SILENT_AFTER_S = 15.0
# A dead worker's sessions stay on the page so long, for whoever looks for the reason.
FORGET_AFTER_S = 600.0
# Points lost by a factor that are worth a word; all of them fade slowly.
LEAST_POINTS = 0.5
# Backends by which an adapter is chosen, best first.
ACCELERATORS = ("webgpu", "webnn", "wasm")


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event and when it came, by this machine's monotonic clock: other machines' clocks may differ."""

    worker: str
    status: SessionStatus
    at: float


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session as pages, JSON and gauges show it."""

    worker: str
    session: str
    browser: str
    build: str
    state: str
    silent: bool
    """True where its worker has published nothing for SILENT_AFTER_S."""
    age_s: float
    """Since the latest event."""
    health: float
    lowered_by: dict[str, float]
    """Points lost by factor."""
    breaker: str
    failures: int
    n_openings: int
    n_lanes: int
    n_busy: int
    models: list[str]
    memory_bytes: int | None
    shared_saved_bytes: int
    """What its models would hold besides if they shared no graphs."""
    shared_hits: int
    """Results of encoders that were taken instead of computed."""
    runs: int
    backends: list[str]
    """Those that were proved."""
    adapter: str
    is_software: bool | None


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """The figures above the table."""

    sessions: int
    silent: int
    open_breakers: int
    busy: int
    lanes: int
    memory_bytes: int
    workers: int


class SessionBook:
    """The latest event of every session, by worker. Every method takes the monotonic time in seconds."""

    def __init__(self) -> None:
        self._workers: dict[str, dict[str, ReceivedEvent]] = {}
        self.n_refused = 0
        """Events that could not be read."""

    def hear(self, event: Mapping[str, object], now: float) -> None:
        """Note an event; one that makes no sense is only counted, since anybody's worker may send it."""
        try:
            worker, status = str(event["hostname"]), SessionStatus.from_wire(event)
        except (KeyError, ValueError):
            self.n_refused += 1
            return
        mine = self._workers.setdefault(worker, {})
        mine[status.session] = ReceivedEvent(worker, status, now)
        for name in [name for name, heard in mine.items() if now - heard.at > SILENT_AFTER_S]:
            del mine[name]  # its worker goes on publishing without it: the session has ended

    def leave(self, worker: str) -> None:
        """Forget a worker that said that it stops."""
        self._workers.pop(worker, None)

    def rows(self, now: float) -> list[SessionRow]:
        """Every session, those that need a look first."""
        for worker, sessions in list(self._workers.items()):
            if all(now - heard.at > FORGET_AFTER_S for heard in sessions.values()):
                del self._workers[worker]
        found = [session_row(heard, now) for mine in self._workers.values() for heard in mine.values()]
        return sorted(found, key=lambda row: (*_calm(row), row.worker, row.session))


def _calm(row: SessionRow) -> tuple[bool, bool, float]:
    """Sorts trouble first: silence, an open breaker, a low score."""
    return not row.silent, row.breaker == BreakerState.CLOSED, row.health


def session_row(heard: ReceivedEvent, now: float) -> SessionRow:
    """One session as pages, JSON and gauges show it."""
    status, adapter = heard.status, _adapter(heard.status)
    shared = LaneSharing.sum(lane.sharing for lane in status.lanes)
    return SessionRow(
        worker=heard.worker,
        session=status.session,
        browser=str(status.browser),
        build=status.build,
        state=str(status.state),
        silent=now - heard.at > SILENT_AFTER_S,
        age_s=round(now - heard.at, 1),
        health=status.health,
        lowered_by={name: lost for name, lost in status.health_factors.items() if lost >= LEAST_POINTS},
        breaker=str(status.breaker.state),
        failures=status.breaker.failures,
        n_openings=status.breaker.n_openings,
        n_lanes=len(status.lanes),
        n_busy=status.n_busy,
        models=sorted({_describe(key) for lane in status.lanes for key in lane.models}),
        memory_bytes=status.memory_bytes,
        shared_saved_bytes=shared.graphs.saved_bytes,
        shared_hits=shared.results.hits,
        runs=status.runs,
        backends=[name for name, can in status.backends.items() if can],
        adapter=adapter.name,
        is_software=adapter.software,
    )


def _adapter(status: SessionStatus) -> Adapter:
    """The device of the best backend that was proved."""
    for backend in ACCELERATORS:
        if status.backends.get(backend) and backend in status.adapters:
            return status.adapters[backend]
    return Adapter()


def _describe(key: ModelKey) -> str:
    """`name on backend, precision`."""
    return f"{key.name} on {key.backend}, {key.precision}"


def summarise(rows: Sequence[SessionRow]) -> SessionFigures:
    """The figures above the table."""
    return SessionFigures(
        sessions=len(rows),
        silent=sum(row.silent for row in rows),
        open_breakers=sum(row.breaker != BreakerState.CLOSED for row in rows),
        busy=sum(row.n_busy for row in rows),
        lanes=sum(row.n_lanes for row in rows),
        memory_bytes=sum(row.memory_bytes or 0 for row in rows),
        workers=len({row.worker for row in rows}),
    )
