"""Looks, decides for every queue, and writes down what was decided and why."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import structlog

from scheduler.autoscaling.bounds import Bounds, parse_bounds
from scheduler.autoscaling.deciding import decide_workers
from scheduler.autoscaling.desired import Desired
from scheduler.autoscaling.sightings import Sighting
from scheduler.autoscaling.signals import Signals
from scheduler.autoscaling.values import Decision, WorkerPolicy
from scheduler.autoscaling.watching import QueueWatch
from scheduler.settings import SchedulerSettings
from tasks.app import WebinferApp
from tasks.router import QUEUE_OF
from tasks.telemetry import emit

log = structlog.get_logger(__name__)


class Autoscaler:
    """One process's memory of the queues; a new process begins anew, and lets no worker go for a window."""

    def __init__(self, app: WebinferApp, settings: SchedulerSettings) -> None:
        self._app, self._settings = app, settings
        self._usual = Bounds(settings.autoscale_min, settings.autoscale_max)
        self._bounds = parse_bounds(settings.autoscale_queues, self._usual)
        self._signals = Signals(app)
        self._desired = Desired(app.redis, app.settings.redis_prefix)
        self._watches: dict[str, QueueWatch] = {}

    @property
    def is_dry(self) -> bool:
        """Whether scalers are told not to act."""
        return self._settings.autoscaling != "on"

    def decide_all(self) -> dict[str, Decision]:
        """Look once and decide for every queue that is scaled. Raises redis.RedisError."""
        sighting = self._signals.look(QUEUE_OF.values())
        return {queue: self._decide(queue, sighting) for queue in self._queues(sighting)}

    def _queues(self, sighting: Sighting) -> list[str]:
        """Those that are named in the settings, else those that somebody serves."""
        served = {queue for worker in sighting.workers.values() for queue in worker.queues}
        named = self._bounds or served | self._watches.keys()
        return [queue for queue in QUEUE_OF.values() if queue in named]

    def _decide(self, queue: str, sighting: Sighting) -> Decision:
        watch = self._watches.setdefault(queue, QueueWatch(queue))
        now = time.monotonic()
        view = watch.view(sighting, now)
        decision = decide_workers(view, now, self._policy(queue))
        if self.is_dry:
            watch.shown(decision)
        else:
            watch.applied(decision, now)
        # Told until they are gone: a scaler may look only after the next decision.
        self._tell(replace(decision, stop=tuple(dict.fromkeys((*decision.stop, *watch.stopping)))))
        return decision

    def _policy(self, queue: str) -> WorkerPolicy:
        bounds = self._bounds.get(queue, self._usual)
        policy = WorkerPolicy(latency_target_s=self._settings.autoscale_latency_s)
        return replace(policy, min_workers=bounds.least, max_workers=bounds.most)

    def _tell(self, decision: Decision) -> None:
        told = decision.to_wire(time.time(), self.is_dry)
        self._desired.write(decision.queue, told)
        if not decision.change:
            return
        log.info(
            "scaling", queue=decision.queue, n=decision.target, was=decision.n_workers, why=told["reason"]
        )
        emit(self._app.redis, [("scaling", _row(decision, told))], self._app.settings)

    def close(self) -> None:
        """Close its connections."""
        self._signals.close()


def _row(decision: Decision, told: dict[str, Any]) -> dict[str, Any]:
    """A row of the history's table `scaling`."""
    return {
        "at": told["at"],
        "scope": "queue",
        "name": decision.queue,
        "action": "grow" if decision.change > 0 else "shrink",
        "n_from": decision.n_workers,
        "n_to": decision.target,
        "reason": told["reason"],
        "factors": json.dumps(told["factors"]),
        "dry_run": told["dry_run"],
    }
