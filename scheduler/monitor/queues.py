"""What waits in Redis, who works on it, and what autoscaling decided about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.broker.queue_depths import read_depths
from tasks.broker.redis_clients import connect
from tasks.keys import RedisKeys
from tasks.settings import TaskSettings

# The latest decisions that the page shows.
MAX_DECISIONS = 50


class QueueReader:
    """Reads both of the project's Redis servers, which may be one. Blocks; use it off the event loop."""

    def __init__(self, settings: TaskSettings) -> None:
        self._keys = RedisKeys(settings.redis_prefix)
        self._broker, self._results = connect(settings.broker_url), connect(settings.results)

    def read(self, names: Iterable[str], workers: Mapping[str, list[str]]) -> dict[str, Any]:
        """The queues in `names` and those decided about, as plain values. Raises redis.RedisError.

        `workers` says which queues each worker that is alive consumes.
        """
        kept = self._read_kept()
        names = sorted({*names, *kept["desired"]})
        canaries = self._read_canaries(names)
        depths = read_depths(self._broker, names)
        queues = [
            {
                "queue": name,
                "depth": depths.waiting[name],
                "workers": sorted(worker for worker, consumed in workers.items() if name in consumed),
                "desired": kept["desired"].get(name),
                "canary": canaries.get(name),
            }
            for name in names
        ]
        beside = ("decisions", "alerts", "dead_letters", "telemetry_entries")
        return {"queues": queues, "unacked": depths.n_unacked} | {name: kept[name] for name in beside}

    def _read_kept(self) -> dict[str, Any]:
        """What the scheduler keeps under the project's prefix."""
        pipe = self._results.pipeline(transaction=False)
        pipe.hgetall(self._keys.desired_workers)
        pipe.lrange(self._keys.scaling_events, 0, MAX_DECISIONS - 1)
        pipe.hgetall(self._keys.open_alerts)
        pipe.xlen(self._keys.dead_letters)
        pipe.xlen(self._keys.telemetry)
        desired, events, alerts, n_letters, n_entries = pipe.execute()
        return {
            "desired": {name.decode(): _json(value) for name, value in desired.items()},
            "decisions": [_decision(_json(wire)) for wire in events],
            "alerts": {key.decode(): _json(value) for key, value in alerts.items()},
            "dead_letters": n_letters,
            "telemetry_entries": n_entries,
        }

    def _read_canaries(self, names: list[str]) -> dict[str, Any]:
        values = self._results.mget([self._keys.canary(name) for name in names]) if names else []
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
