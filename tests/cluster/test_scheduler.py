"""Beat, canaries, decisions and clean-up against a real Redis and real workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.app import app as scheduler_app
from scheduler.autoscaling.autoscaler import Autoscaler
from scheduler.autoscaling.desired import DesiredStore, DesiredWorkers
from scheduler.autoscaling.signals import Signals
from scheduler.beat import OnceScheduler
from scheduler.health.beats import ALERTS, read_beat, stand_in_for_beat
from scheduler.health.canaries import CanaryStore
from scheduler.health.leftovers import end_keys
from scheduler.health.rounds import CanaryRounds
from scheduler.periods import only_one, period_keys
from scheduler.settings import SchedulerSettings
from scheduler.timetable import TIMETABLE
from tasks import app, infer
from tasks.app import WATCH_QUEUE
from tasks.broker.queue_depths import count_unacked, read_depths
from tasks.keys import UNACKED, UNACKED_INDEX
from tasks.routing import serving
from tasks.routing.router import QUEUE_OF
from tasks.settings import TaskSettings
from tests.cluster.conftest import StartWorker, until, workers
from tests.processes import kill, suspended

QUEUE = "chrome-vision"


@pytest.fixture(autouse=True)
def clean_redis(settings: TaskSettings) -> Iterator[None]:
    """Every test begins and ends without keys of the scheduler."""
    _delete_keys()
    yield
    _delete_keys()


def _delete_keys() -> None:
    prefix = app.settings.redis_prefix
    names = [WATCH_QUEUE, "claim", f"{prefix}canaries-pending"]
    for pattern in ("beat:*", "canary:*", "scaling:*", "lock:*", "telemetry"):
        names += [key.decode() for key in app.redis.scan_iter(match=prefix + pattern)]
    app.redis.delete(*names)


@pytest.fixture
def start_watch(settings: TaskSettings, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers of the scheduler."""
    with workers(tmp_path, "scheduler") as start:
        yield start


# --- beat


def entry_of(beat: OnceScheduler, name: str) -> Any:
    return beat.schedule[name]


def test_two_beats_send_each_entry_once_a_period() -> None:
    beats = [OnceScheduler(app=scheduler_app) for _ in range(2)]
    for beat in beats * 2:
        beat.apply_async(entry_of(beat, "clean"), advance=False)
    assert app.redis.llen(WATCH_QUEUE) == 1


def test_a_beat_that_starts_again_knows_what_was_sent() -> None:
    first = OnceScheduler(app=scheduler_app)
    first.apply_async(entry_of(first, "clean"), advance=False)
    sent = period_keys().sent()["clean"]
    again = entry_of(OnceScheduler(app=scheduler_app), "clean")
    assert again.last_run_at.timestamp() == pytest.approx(sent, abs=0.01)
    assert not again.is_due().is_due


def test_a_real_beat_lives_and_when_killed_the_alerts_are_checked_without_it(tmp_path: Path) -> None:
    log = tmp_path / "beat.log"
    command = [sys.executable, "-m", "celery", "-A", "webinfer", "beat", "--loglevel", "INFO"]
    with log.open("wb") as output:
        beat = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ)
    try:
        until(lambda: "drain" in period_keys().sent())
        assert not read_beat().is_dead
        assert not stand_in_for_beat()
    finally:
        kill(beat)
    assert "Sending due task drain" in log.read_text()
    assert not list(tmp_path.glob("celerybeat*")) and not Path("celerybeat-schedule").exists()
    app.redis.delete(WATCH_QUEUE)
    assert read_beat(now=time.time() + 60).is_dead
    period_keys().beat(time.time() - 60)
    assert stand_in_for_beat()
    assert not stand_in_for_beat()  # once a period
    if ALERTS in scheduler_app.tasks:
        assert app.redis.llen(WATCH_QUEUE) == 1


def test_every_task_of_the_timetable_exists() -> None:
    missing = [entry.task for entry in TIMETABLE if entry.task not in scheduler_app.tasks]
    assert missing == []


def test_one_holder_at_a_time() -> None:
    with only_one("x", 10) as first, only_one("x", 10) as second:
        assert (first, second) == (True, False)
    with only_one("x", 10) as again:
        assert again


# --- canaries


def test_a_canary_is_judged_by_its_answer(start_worker: StartWorker, start_watch: StartWorker) -> None:
    """The runner in memory answers promptly, and wrongly: a ping would not notice."""
    start_worker().ready()
    start_watch("-P", "threads", "-c", "2", queue=WATCH_QUEUE).ready()
    scheduler_app.send_task("scheduler.health.canary", queue=WATCH_QUEUE)
    book = CanaryStore(app.redis, app.settings.redis_prefix)
    until(lambda: book.read(QUEUE) is not None)
    found = book.read(QUEUE)
    assert found is not None and (found.ok, found.state) == (False, "wrong")
    assert found.latency_ms is not None and found.latency_ms > 0
    assert book.pending(QUEUE) is None
    assert book.read("edge-text") is None  # nobody serves it, and nobody misses it


def test_a_queue_that_takes_jobs_and_answers_none_is_silent(start_worker: StartWorker) -> None:
    stuck = start_worker().ready()
    rounds = CanaryRounds(app, deadline_s=0.0)
    rounds.run()
    try:
        with suspended([psutil.Process(stuck.process.pid)]):  # alive, connected, and dead to the world
            rounds.run()
            found = rounds.store.read(QUEUE)
            assert found is not None and (found.ok, found.state) == (False, "silent")
            rounds.run()
            found = rounds.store.read(QUEUE)
            assert found is not None and found.state == "unserved"
    finally:
        rounds.close()


# --- decisions


def test_depth_and_what_is_in_flight_are_seen_and_decided_about(start_worker: StartWorker) -> None:
    worker = start_worker("-c", "8").ready()
    slow = {"model_type": "vision", "model_name": "slow", "inputs": {"image": {"width": 8, "height": 8}}}
    results = [infer.delay(**slow, options={"sleep_s": 60}) for _ in range(40)]
    signals = Signals(app)
    until(lambda: count_unacked(signals.broker).get(QUEUE) == 8)
    assert read_depths(signals.broker, [QUEUE]).waiting[QUEUE] == 32
    assert [name for name, found in signals.ask_workers().items() if QUEUE in found.queues] == [worker.name]
    dry = Autoscaler(app, SchedulerSettings(autoscaling="dry-run"))
    decision = dry.decide_all()[QUEUE]
    assert (decision.n, decision.target) == (1, 2)
    desired = DesiredStore(app.redis, app.settings.redis_prefix).read()[QUEUE]
    assert desired.dry_run and desired.n == 2 and "40 wait" in desired.reason
    event = DesiredStore(app.redis, app.settings.redis_prefix).events()[0]
    assert event.factors["in_flight"] == 8 and event.queue == QUEUE
    kill(worker.process)
    assert count_unacked(signals.broker)[QUEUE] == 8  # a dead worker's messages are not forgotten
    signals.close()
    dry.close()
    app.control.purge()
    for result in results:
        result.forget()
    app.redis.delete(UNACKED, UNACKED_INDEX)


def test_a_queue_that_is_scaled_from_none_takes_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_AUTOSCALE_QUEUES", "edge-text=0:2")
    for mode, served_queues in (("dry-run", set()), ("on", {"edge-text"})):
        serving.withdraw(app.redis, app.settings.redis_prefix, QUEUE_OF.values())
        scaler = Autoscaler(app, SchedulerSettings(autoscaling=mode))
        assert scaler.decide_all()["edge-text"].target == 0
        scaler.close()
        assert serving.served(app.redis, app.settings.redis_prefix, QUEUE_OF.values()) == served_queues
    serving.withdraw(app.redis, app.settings.redis_prefix, QUEUE_OF.values())


def test_a_scaler_hears_of_a_change(settings: TaskSettings) -> None:
    desired = DesiredStore(app.redis, app.settings.redis_prefix)
    changes = desired.changes()
    assert next(changes) == {}
    desired.write(DesiredWorkers(QUEUE, 2, (), "as tested", 1.0, n_before=1))
    assert next(changes)[QUEUE].n == 2
    changes.close()  # type: ignore[attr-defined]
    assert json.loads(app.redis.hget(f"{app.settings.redis_prefix}scaling:desired", QUEUE) or "")["n"] == 2


# --- clean-up


def test_keys_without_an_end_get_one() -> None:
    claim = f"{app.settings.redis_prefix}claim:{'0' * 32}"
    app.redis.set(claim, b"x")
    app.redis.set("celery-task-meta-x", b"x", ex=77)
    assert end_keys(app.redis, app.settings) >= 1
    assert 0 < app.redis.ttl(claim) <= app.settings.claim_ttl_s
    assert app.redis.ttl("celery-task-meta-x") <= 77
    app.redis.delete(claim, "celery-task-meta-x")
