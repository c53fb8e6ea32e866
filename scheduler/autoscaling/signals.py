"""Reads the queues in Redis and the states of workers: the input of the autoscaler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from browser_runtime.contract.status import BreakerState, SessionStatus, SystemMemory, WorkerStatus
from browser_runtime.scaling.values import Replica
from tasks.app import WebinferApp
from tasks.broker.queue_depths import count_unacked, read_depths
from tasks.broker.redis_clients import connect

log = structlog.get_logger(__name__)

# Workers answer within milliseconds; one that takes longer is not counted in this observation.
ANSWER_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """The state of one worker."""

    view: Replica
    queues: tuple[str, ...]
    answered: int
    """Requests answered since its process started."""
    load: float
    """Busy lanes, averaged over the last seconds."""
    busy_models: frozenset[str]
    memory_percent: float | None
    """Its browsers' share of the memory of the system it runs on."""
    system_memory_percent: float | None
    """Share of that memory in use by anything."""
    started_s: float | None
    """The start time of its slowest browser."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One observation of all workers and queues."""

    workers: Mapping[str, WorkerSnapshot]
    """By name."""
    depths: Mapping[str, int]
    """Messages waiting by queue."""
    in_flight: Mapping[str, int]
    """Messages taken and not acknowledged by queue."""


class Signals:
    """Observes workers and queues."""

    def __init__(self, app: WebinferApp) -> None:
        self._app = app
        self.broker: redis.Redis = connect(app.settings.broker_url)

    def observe(self, queues: Iterable[str]) -> Snapshot:
        """A snapshot now. Raises redis.RedisError if Redis is down."""
        waiting = read_depths(self.broker, queues).waiting
        return Snapshot(self.ask_workers(), waiting, count_unacked(self.broker))

    def ask_workers(self) -> dict[str, WorkerSnapshot]:
        """The browser workers that answer in time, by name."""
        replies = self._app.control.broadcast("browser_status", reply=True, timeout=ANSWER_TIMEOUT_S) or []
        answers = ((name, status) for reply in replies for name, status in reply.items())
        return {name: found for name, status in answers if (found := read_worker(name, status))}

    def close(self) -> None:
        """Close the connection."""
        self.broker.close()


def read_worker(name: str, answer: Mapping[str, Any]) -> WorkerSnapshot | None:
    """The worker of an answer to `browser_status`; None if it has no browsers or another version."""
    if "error" in answer:
        return None
    try:
        status = WorkerStatus.from_wire(answer)
    except ValueError as error:
        log.warning("worker status unreadable", worker=name, reason=str(error))
        return None
    sessions, memory = status.pool.sessions, status.system_memory
    return WorkerSnapshot(
        view=_replica(name, sessions),
        queues=status.queues,
        answered=status.n_answered,
        load=status.pool.load,
        busy_models=frozenset(status.pool.busy_models),
        memory_percent=_memory_percent(sessions, memory),
        system_memory_percent=None if memory is None else memory.percent,
        started_s=max((session.started_ms / 1000 for session in sessions), default=None),
    )


def _memory_percent(sessions: Sequence[SessionStatus], memory: SystemMemory | None) -> float | None:
    used = sum(session.memory_bytes or 0 for session in sessions)
    return 100 * used / memory.total_bytes if used and memory is not None else None


def _replica(name: str, sessions: Sequence[SessionStatus]) -> Replica:
    """The worker as a replica, usable if one of its sessions is."""
    views = [
        Replica(
            session.session,
            len(session.lanes),
            sum(lane.busy for lane in session.lanes),
            session.health,
            session.breaker.state is not BreakerState.OPEN,
            warm_models=session.model_names,
        )
        for session in sessions
    ]
    usable = [view for view in views if view.is_usable]
    return Replica(
        name,
        n_lanes=max(sum(view.n_lanes for view in views), 1),
        n_busy=sum(view.n_busy for view in views),
        health=max((view.health for view in usable or views), default=100.0),
        breaker_allows=bool(usable) or not views,
        warm_models=frozenset().union(*(view.warm_models for view in views)),
    )
