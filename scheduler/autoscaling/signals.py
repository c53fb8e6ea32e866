"""Reads the queues in Redis and asks the workers. The only I/O the decision rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from browser_runtime.contract.status import BreakerState, SessionStatus, SystemMemory, WorkerStatus
from browser_runtime.contract.vocabulary import HEALTHY_SCORE
from browser_runtime.scaling.values import Replica
from tasks.app import WebinferApp
from tasks.broker.redis_clients import connect

log = structlog.get_logger(__name__)

# Answers come within milliseconds; a worker that is silent for so long is not counted at this look.
ANSWER_TIMEOUT_S = 1.0
# kombu's own name for what is delivered and not acknowledged: delivery tag -> [message, exchange, queue].
UNACKED = "unacked"
# The queue's name ends each entry, so that a message of megabytes is neither parsed nor sent.
COUNT_UNACKED = """
local found = {}
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  local queue = string.match(string.sub(entry, -300), '"([^"]*)"%s*%]$')
  if queue then found[queue] = (found[queue] or 0) + 1 end
end
local flat = {}
for queue, n in pairs(found) do flat[#flat + 1] = queue; flat[#flat + 1] = n end
return flat
"""


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One worker that answered."""

    view: Replica
    queues: tuple[str, ...]
    answered: int
    """Since its process began."""
    load: float
    """Busy lanes, averaged over the last seconds."""
    busy_models: frozenset[str]
    memory_percent: float | None
    """Its browsers' share of the memory of the system it runs on."""
    system_memory_percent: float | None
    """All that is in use there."""
    started_s: float | None
    """How long its slowest browser took to start."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at everything."""

    workers: Mapping[str, WorkerSnapshot]
    """By name."""
    depths: Mapping[str, int]
    """Messages waiting by queue."""
    in_flight: Mapping[str, int]
    """Messages taken and not acknowledged by queue."""


class Signals:
    """Looks, whenever asked."""

    def __init__(self, app: WebinferApp) -> None:
        self._app = app
        self._broker: redis.Redis = connect(app.settings.broker_url)
        self._count_unacked = self._broker.register_script(COUNT_UNACKED)

    def look(self, queues: Iterable[str]) -> Snapshot:
        """What there is now. Raises redis.RedisError where Redis is away."""
        return Snapshot(self.ask_workers(), self.depths(queues), self.in_flight())

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Messages waiting by queue, of every priority."""
        names, pipeline = list(queues), self._broker.pipeline(transaction=False)
        with self._app.connection_for_read() as connection:
            keys = {name: _priority_keys(connection.default_channel, name) for name in names}
        for name in names:
            for key in keys[name]:
                pipeline.llen(key)
        lengths = iter(pipeline.execute())
        return {name: sum(int(next(lengths)) for _ in keys[name]) for name in names}

    def in_flight(self) -> dict[str, int]:
        """Messages taken and not acknowledged by queue, those of dead workers included."""
        flat: list[Any] = self._count_unacked(keys=[UNACKED])
        names, counts = flat[::2], flat[1::2]
        return {name.decode(): int(n) for name, n in zip(names, counts, strict=True)}

    def ask_workers(self) -> dict[str, WorkerSnapshot]:
        """Every browser worker that answers in time, by name."""
        replies = self._app.control.broadcast("browser_status", reply=True, timeout=ANSWER_TIMEOUT_S) or []
        answers = ((name, status) for reply in replies for name, status in reply.items())
        return {name: found for name, status in answers if (found := read_worker(name, status))}

    def close(self) -> None:
        """Close the connection."""
        self._broker.close()


def _priority_keys(channel: Any, queue: str) -> list[str]:
    """The Redis lists of one queue, one a priority step."""
    return [channel._q_for_pri(queue, step) for step in channel.priority_steps]


def read_worker(name: str, answer: Mapping[str, Any]) -> WorkerSnapshot | None:
    """The worker from its answer to `browser_status`; None for one without browsers or of another version."""
    if "error" in answer:
        return None
    try:
        status = WorkerStatus.from_wire(answer)
    except ValueError as error:
        log.warning("status of a worker not understood", worker=name, why=str(error))
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
    """The worker, usable while one of its sessions is."""
    usable = [session for session in sessions if _is_usable(session)]
    lanes = [lane for session in sessions for lane in session.lanes]
    return Replica(
        name,
        n_lanes=max(len(lanes), 1),
        n_busy=sum(lane.busy for lane in lanes),
        health=max((session.health for session in usable or sessions), default=100.0),
        breaker_allows=bool(usable) or not sessions,
        warm_models=frozenset().union(*(session.model_names for session in sessions)),
    )


def _is_usable(session: SessionStatus) -> bool:
    return session.breaker.state is not BreakerState.OPEN and session.health >= HEALTHY_SCORE
