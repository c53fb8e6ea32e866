"""The check in a real watch worker: it asks a real analytics worker, and a real HTTP server is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from scheduler.history.history import History
from tasks import app
from tasks.app import ANALYTICS_QUEUE, WATCH_QUEUE
from tasks.keys import RedisKeys
from tasks.settings import TaskSettings
from tests.cluster.conftest import until, workers
from tests.unit.alerts.conftest import Receiver, receiver  # noqa: F401 - a fixture
from webinfer.commands.report import command as report_command

pytestmark = pytest.mark.redis

QUIET = ("--without-mingle", "--without-gossip")
SERIES = {"model": "bert", "browser": "firefox", "backend": "wasm", "batch_size": 1, "flags": "{}"}


@pytest.fixture
def clean_keys(settings: TaskSettings) -> Iterator[None]:
    """Neither beats nor alerts of other tests."""

    def clean() -> None:
        for pattern in ("alerts:*", "beat:*", "canary:*", "dead-letters"):
            for key in app.redis.scan_iter(f"{settings.redis_prefix}{pattern}"):
                app.redis.delete(key)
        app.redis.delete(RedisKeys(settings.redis_prefix).telemetry)

    clean()
    yield
    clean()


def keep_trouble(path: Path) -> None:
    """A history with a regression of an hour ago, and runs of a minute ago that all failed."""
    at_s = time.time() - 3600
    change = {
        "series": json.dumps(SERIES),
        "metric": "latency",
        "changed_at": at_s,
        "before": 10.0,
        "after": 14.0,
    }
    run = {"at": time.time() - 60, "model": "vit", "browser": "edge", "ok": False, "error_code": "PageFault"}
    with History(path) as history:
        history.append([("changes", change | {"at": at_s, "severity": "high", "direction": "regression"})])
        history.append([("runs", run)] * 30)


def test_what_is_wrong_is_told_and_kept(
    clean_keys: None,
    receiver: Receiver,  # noqa: F811
    tmp_path: Path,
    settings: TaskSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, reports = tmp_path / "history.duckdb", tmp_path / "reports"
    for name, value in (
        ("HISTORY_PATH", path),
        ("REPORTS_DIR", reports),
        ("ALERT_URLS", receiver.url("s3cret")),
    ):
        monkeypatch.setenv(f"WEBINFER_{name}", str(value))
    keep_trouble(path)
    letter = {"why": "not JSON", "queue": "edge", "body": "private words"}
    app.redis.xadd(f"{settings.redis_prefix}dead-letters", letter)  # type: ignore[arg-type]
    canary = {"ok": False, "state": "silent", "reason": "no answer", "at": time.time(), "latency_ms": None}
    app.redis.set(f"{settings.redis_prefix}canary:firefox-audio", json.dumps(canary))
    # Beat was silent for two minutes.
    app.redis.set(f"{settings.redis_prefix}beat:last", time.time() - 120)
    with ExitStack() as stack:
        start = stack.enter_context(workers(tmp_path, "scheduler"))
        analytics = start("-P", "solo", *QUIET, queue=ANALYTICS_QUEUE)
        watch = start("-P", "threads", "-c", "2", *QUIET, queue=WATCH_QUEUE)
        analytics.ready(), watch.ready()
        app.send_task("scheduler.alerts.check", queue=WATCH_QUEUE, ignore_result=True)
        until(lambda: len(receiver.posted) == 5)
        until(lambda: app.redis.xlen(RedisKeys(settings.redis_prefix).telemetry) > 0)
        app.send_task("scheduler.history.drain", queue=ANALYTICS_QUEUE).get(timeout=60)
        written = app.send_task("scheduler.reports.write", queue=ANALYTICS_QUEUE).get(timeout=60)
        # The worker holds the file, so the command asks it.
        told = json.loads(CliRunner().invoke(report_command, ["--json", "--days", "1"]).output)
        log = watch.log.read_text()
    assert {post["title"] for post in receiver.posted} == {
        "[webinfer] HIGH: latency +40%: bert firefox wasm batch 1",
        "[webinfer] HIGH: 100% of the runs of vit on edge fail",
        "[webinfer] HIGH: queue firefox-audio is dead",
        "[webinfer] HIGH: beat is silent",
        "[webinfer] MEDIUM: dead letters from edge",
    }
    assert "private words" not in str(receiver.posted)
    assert "s3cret" not in log
    with History(path) as history:
        kept = history.read("SELECT key, state FROM alerts")
    assert {row["key"].split(":")[0] for row in kept} == {"regression", "errors", "queue", "beat", "letters"}
    assert [change["metric"] for change in told["changes"]] == ["latency"]
    assert "dead letters from edge" in Path(written).read_text()
