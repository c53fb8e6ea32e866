"""The tasks of routing; all run in the analytics worker, which has the history."""

from __future__ import annotations

from celery import chain

from browser_runtime.contract.families import rows_of
from browser_runtime.contract.vocabulary import Browser
from scheduler.autoscaling.signals import Signals
from scheduler.history.owner import history
from scheduler.routing import publishing
from scheduler.routing.calibration import N_RUNS, Trial, plan_trials, read_known
from scheduler.settings import SchedulerSettings
from tasks.app import app
from tasks.arguments import build_request
from tasks.broker.queue_depths import count_unacked, read_depths
from tasks.infer import infer
from tasks.routing.router import QUEUE_OF

# At most so many trials at a time, so that real requests need not wait long.
MOST_TRIALS = 2
# Trials not started by then are dropped.
TRIAL_EXPIRES_S = 60
# Real requests go first: 9 is the last priority on Redis.
LAST_PRIORITY = 9


@app.task(name="scheduler.routing.publish")
def publish() -> dict[str, int]:
    """Build the routing table from the history and publish it to Redis."""
    exploration = SchedulerSettings().routing_exploration
    return publishing.publish(history(), app.redis, app.settings.redis_prefix, exploration)


@app.task(name="scheduler.routing.calibrate")
def calibrate() -> list[str]:
    """Have idle browsers run models with few measurements there; returns the trials."""
    conditions = publishing.look_up_conditions(history(), app.redis, app.settings.redis_prefix)
    served = frozenset(browser for browser, found in conditions.items() if found.usable)
    idle = served - _busy(served)
    known = read_known(history().query("routing_models"))
    trials = plan_trials(publishing.look_up_evidence(history()), known, idle, MOST_TRIALS)
    for trial in trials:
        _send(trial)
    return [f"{trial.browser}: {trial.model}" for trial in trials]


def _busy(browsers: frozenset[Browser]) -> frozenset[Browser]:
    """The browsers with waiting or running requests. Raises redis.RedisError."""
    signals = Signals(app)
    try:
        waiting = read_depths(signals.broker, (QUEUE_OF[b] for b in browsers)).waiting
        taken = count_unacked(signals.broker)
    finally:
        signals.close()
    return frozenset(b for b in browsers if waiting.get(QUEUE_OF[b]) or taken.get(QUEUE_OF[b]))


def _send(trial: Trial) -> None:
    named = {
        "model_type": str(trial.family),
        "model_name": trial.model,
        "inputs": rows_of(trial.family)[0].sample,
        "precision": trial.precision,
        # The sample is the same each time: what was kept of it would be no measurement.
        "options": {"reuse_results": False},
    }
    request = build_request(named, app.settings.limits())
    queue = QUEUE_OF[trial.browser]
    message = {
        "request": request.to_wire(),
        "route": {"queue": queue, "reason": trial.reason, "fixed": True},
    }
    run = infer.signature(
        kwargs=message,
        immutable=True,
        queue=queue,
        expires=TRIAL_EXPIRES_S,
        priority=LAST_PRIORITY,
        ignore_result=True,
    )
    # A chain, since runs sent together would be one batch, which includes loading the model.
    chain(*(run.clone() for _ in range(N_RUNS))).apply_async()
