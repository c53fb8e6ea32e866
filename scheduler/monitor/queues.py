"""What waits in Redis, who works on it, and what autoscaling decided about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.broker.redis_clients import connect
from tasks.settings import TaskSettings

# kombu's names: a queue's list, and one more list for each further priority step.
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (3, 6, 9)
UNACKED = "unacked"
# The latest decisions that the page shows.
MAX_DECISIONS = 50


class QueueReader:
    """Reads both of the project's Redis servers, which may be one. Blocks; use it off the event loop."""

    def __init__(self, settings: TaskSettings) -> None:
        self._prefix = settings.redis_prefix
        self._broker, self._results = connect(settings.broker_url), connect(settings.results)

    def read(self, names: Iterable[str], workers: Mapping[str, list[str]]) -> dict[str, Any]:
        """The queues in `names` and those decided about, as plain values. Raises redis.RedisError.

        `workers` says which queues each worker that is alive consumes.
        """
        kept = self._read_kept()
        names = sorted({*names, *kept["desired"]})
        canaries = self._read_canaries(names)
        depths, n_unacked = self._read_depths(names)
        queues = [
            {
                "queue": name,
                "depth": depths[name],
                "workers": sorted(worker for worker, consumed in workers.items() if name in consumed),
                "desired": kept["desired"].get(name),
                "canary": canaries.get(name),
            }
            for name in names
        ]
        beside = ("decisions", "alerts", "dead_letters", "telemetry_entries")
        return {"queues": queues, "unacked": n_unacked} | {name: kept[name] for name in beside}

    def _read_depths(self, names: list[str]) -> tuple[dict[str, int], int]:
        """Messages waiting by queue, whatever their priority, and those held by workers."""
        pipe = self._broker.pipeline(transaction=False)
        for name in names:
            for key in (name, *(f"{name}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS)):
                pipe.llen(key)
        pipe.hlen(UNACKED)
        *lengths, n_unacked = pipe.execute()
        n_lists = 1 + len(PRIORITY_STEPS)
        return {
            name: sum(lengths[i * n_lists : (i + 1) * n_lists]) for i, name in enumerate(names)
        }, n_unacked

    def _read_kept(self) -> dict[str, Any]:
        """What the scheduler keeps under the project's prefix."""
        pipe = self._results.pipeline(transaction=False)
        pipe.hgetall(f"{self._prefix}scaling:desired")
        pipe.lrange(f"{self._prefix}scaling:events", 0, MAX_DECISIONS - 1)
        pipe.hgetall(f"{self._prefix}alerts:open")
        pipe.xlen(f"{self._prefix}dead-letters")
        pipe.xlen(f"{self._prefix}telemetry")
        desired, events, alerts, n_letters, n_entries = pipe.execute()
        return {
            "desired": {name.decode(): _json(value) for name, value in desired.items()},
            "decisions": [_decision(_json(wire)) for wire in events],
            "alerts": {key.decode(): _json(value) for key, value in alerts.items()},
            "dead_letters": n_letters,
            "telemetry_entries": n_entries,
        }

    def _read_canaries(self, names: list[str]) -> dict[str, Any]:
        values = self._results.mget([f"{self._prefix}canary:{name}" for name in names]) if names else []
        return {name: _json(value) for name, value in zip(names, values, strict=True) if value}

    def close(self) -> None:
        """Disconnect."""
        self._broker.close()
        self._results.close()


def _decision(event: dict[str, Any]) -> dict[str, Any]:
    """One change that autoscaling decided (autoscaling/desired.py), under the names of the history."""
    names = {"queue": "name", "n": "n_to", "n_before": "n_from"}
    return {names.get(name, name): value for name, value in event.items()}


def _json(value: Any) -> dict[str, Any]:
    """The object in `value`; what is none is shown as it is, under `reason`."""
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"reason": value.decode(errors="replace")}
