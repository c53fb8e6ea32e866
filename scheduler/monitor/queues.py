"""Queues with their workers, canaries and scaling decisions, read from Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar, cast

from scheduler.alerts.alert import OpenAlert
from scheduler.autoscaling.desired import DesiredWorkers
from scheduler.health.canaries import Canary
from tasks.broker.kept_values import BROKEN
from tasks.broker.queue_depths import read_depths
from tasks.broker.redis_clients import connect
from tasks.broker.redis_health import RedisMemory, read_clocks, read_memory
from tasks.keys import RedisKeys
from tasks.settings import TaskSettings

# The latest decisions that the page shows.
MAX_DECISIONS = 50
# Characters of a value that cannot be read.
MAX_SHOWN = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue as pages, JSON and gauges show it."""

    queue: str
    depth: int
    """Messages that wait."""
    workers: list[str]
    desired: DesiredWorkers | None
    """The latest decision of autoscaling."""
    canary: Canary | None


@dataclass(frozen=True, slots=True)
class Board:
    """The whole of the queues page."""

    queues: list[QueueRow] = field(default_factory=list)
    unacked: int | None = None
    """Messages that workers hold; this and the next two are None before the first reading."""
    dead_letters: int | None = None
    telemetry_entries: int | None = None
    """Batches of rows that wait for the history."""
    memory: RedisMemory | None = None
    """Of the Redis that holds the queues."""
    clocks: dict[str, float] = field(default_factory=dict)
    """Seconds that each worker's clock is ahead of Redis's."""
    decisions: list[DesiredWorkers] = field(default_factory=list)
    """The latest changes that autoscaling decided, newest first."""
    alerts: list[OpenAlert] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Values in Redis that make no sense, each with its key."""
    problem: str | None = None
    """The reason for there being no newer reading."""


class QueueReader:
    """Reads both of the project's Redis servers, which may be one. Blocks; use it off the event loop."""

    def __init__(self, settings: TaskSettings) -> None:
        self._keys = RedisKeys(settings.redis_prefix)
        self._broker, self._results = connect(settings.broker_url), connect(settings.results)

    def read(self, names: Iterable[str], workers: Mapping[str, list[str]]) -> Board:
        """The queues in `names` and those decided about. Raises redis.RedisError.

        `workers` names the queues that each live worker consumes.
        """
        board, desired = self._read_kept()
        names = sorted({*names, *desired})
        canaries = self._read_canaries(names, board.unreadable)
        depths = read_depths(self._broker, names)
        queues = [
            QueueRow(
                name,
                depths.waiting[name],
                sorted(worker for worker, consumed in workers.items() if name in consumed),
                desired.get(name),
                canaries.get(name),
            )
            for name in names
        ]
        return replace(
            board,
            queues=queues,
            unacked=depths.n_unacked,
            memory=read_memory(self._broker),
            clocks=read_clocks(self._results, self._keys.prefix),
        )

    def _read_kept(self) -> tuple[Board, dict[str, DesiredWorkers]]:
        """The board without its queues, and the latest decision by queue."""
        keys, pipe = self._keys, self._results.pipeline(transaction=False)
        pipe.hgetall(keys.desired_workers)
        pipe.lrange(keys.scaling_events, 0, MAX_DECISIONS - 1)
        pipe.hgetall(keys.open_alerts)
        pipe.xlen(keys.dead_letters)
        pipe.xlen(keys.telemetry)
        decided, events, alerts, n_letters, n_entries = pipe.execute()
        unreadable: list[str] = []
        read = partial(_read, unreadable=unreadable)
        latest = [read(DesiredWorkers.from_wire, wire, keys.desired_workers) for wire in decided.values()]
        changes = [read(DesiredWorkers.from_wire, wire, keys.scaling_events) for wire in events]
        found = [read(_open_alert, wire, keys.open_alerts) for _, wire in sorted(alerts.items())]
        board = Board(
            dead_letters=n_letters,
            telemetry_entries=n_entries,
            decisions=[each for each in changes if each],
            alerts=[each for each in found if each],
            unreadable=unreadable,
        )
        return board, {each.queue: each for each in latest if each}

    def _read_canaries(self, names: list[str], unreadable: list[str]) -> dict[str, Canary]:
        keys = [self._keys.canary(name) for name in names]
        wires = cast("list[bytes | None]", self._results.mget(keys)) if keys else []
        found = {
            name: _read(Canary.from_wire, wire, key, unreadable)
            for name, key, wire in zip(names, keys, wires, strict=True)
            if wire
        }
        return {name: canary for name, canary in found.items() if canary}

    def close(self) -> None:
        """Disconnect."""
        self._broker.close()
        self._results.close()


def _read(parse: Callable[[bytes], T], wire: bytes, key: str, unreadable: list[str]) -> T | None:
    """The value in `wire`; None for one that makes no sense, which is added to `unreadable`."""
    try:
        return parse(wire)
    except BROKEN:
        unreadable.append(f"{key}: {wire[:MAX_SHOWN].decode(errors='replace')}")
        return None


def _open_alert(wire: bytes) -> OpenAlert:
    return OpenAlert.from_plain(json.loads(wire))
