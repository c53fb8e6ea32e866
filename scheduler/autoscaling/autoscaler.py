"""Observes the queues, decides for each, and publishes the decisions with their reasons."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import structlog

from browser_runtime.scaling.values import Decision
from scheduler.autoscaling.bounds import Bounds, parse_bounds
from scheduler.autoscaling.desired import DesiredStore, DesiredWorkers
from scheduler.autoscaling.policy import decide_workers
from scheduler.autoscaling.signals import Signals, Snapshot
from scheduler.autoscaling.values import WorkerPolicy
from scheduler.autoscaling.watching import QueueWatch
from scheduler.settings import SchedulerSettings
from tasks.app import WebinferApp
from tasks.routing.router import QUEUE_OF
from tasks.routing.serving import announce
from tasks.telemetry import emit

log = structlog.get_logger(__name__)


class Autoscaler:
    """Decides for all queues of one process; a new process removes no worker for one window."""

    def __init__(self, app: WebinferApp, settings: SchedulerSettings) -> None:
        self._app, self._settings = app, settings
        self._usual = Bounds(settings.autoscale_min, settings.autoscale_max)
        self._bounds = parse_bounds(settings.autoscale_queues, self._usual)
        self._signals = Signals(app)
        self._desired = DesiredStore(app.redis, app.settings.redis_prefix)
        self._watches: dict[str, QueueWatch] = {}

    @property
    def is_dry(self) -> bool:
        """True if scalers must not act."""
        return self._settings.autoscaling != "on"

    def decide_all(self) -> dict[str, Decision]:
        """Observe once and decide for every queue that is scaled. Raises redis.RedisError."""
        snapshot = self._signals.observe(QUEUE_OF.values())
        decisions = {queue: self._decide(queue, snapshot) for queue in self._queues(snapshot)}
        if not self.is_dry:
            # Such a queue gets a worker as soon as a message waits: producers may send to it.
            announce(self._app.redis, self._app.settings.redis_prefix, decisions)
        return decisions

    def _queues(self, snapshot: Snapshot) -> list[str]:
        """The queues named in the settings, else those that a worker serves."""
        served = {queue for worker in snapshot.workers.values() for queue in worker.queues}
        named = self._bounds or served | self._watches.keys()
        return [queue for queue in QUEUE_OF.values() if queue in named]

    def _decide(self, queue: str, snapshot: Snapshot) -> Decision:
        watch = self._watches.setdefault(queue, QueueWatch(queue))
        now = time.monotonic()
        view = watch.view(snapshot, now)
        decision = decide_workers(view, now, self._policy(queue))
        if self.is_dry:
            watch.note_shown(decision)
        else:
            watch.note_applied(decision, now)
        self._publish(queue, decision, watch.stopping)
        return decision

    def _policy(self, queue: str) -> WorkerPolicy:
        bounds = self._bounds.get(queue, self._usual)
        policy = WorkerPolicy(latency_target_s=self._settings.autoscale_latency_s)
        return replace(policy, min_replicas=bounds.least, max_replicas=bounds.most)

    def _publish(self, queue: str, decision: Decision, stopping: tuple[str, ...]) -> None:
        """Write the decision for scalers, and a change for the history.

        Workers to stop are named until they are gone: a scaler may read only the next decision.
        """
        desired = DesiredWorkers(
            queue,
            decision.target,
            tuple(dict.fromkeys((*decision.drain, *stopping))),
            decision.reason,
            time.time(),
            self.is_dry,
            decision.n,
            dict(decision.factors),
        )
        self._desired.write(desired)
        if not desired.is_change:
            return
        log.info(
            "scaling", queue=queue, n_workers=desired.n, n_before=desired.n_before, reason=desired.reason
        )
        emit(self._app.redis, [("scaling", _row(desired))], self._app.settings)

    def close(self) -> None:
        """Close the connections."""
        self._signals.close()


def _row(desired: DesiredWorkers) -> dict[str, object]:
    """A row of the history's table `scaling`."""
    return {
        "at": desired.at,
        "scope": "queue",
        "name": desired.queue,
        "action": "grow" if desired.n > desired.n_before else "shrink",
        "n_from": desired.n_before,
        "n_to": desired.n,
        "reason": desired.reason,
        "factors": json.dumps(dict(desired.factors)),
        "dry_run": desired.dry_run,
    }
