"""Options, remote control and sizes of workers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.status import FailingModels, SessionStatus
from tasks import app, infer
from tests.cluster.conftest import StartWorker, Worker, until, workers


def ask(worker: Worker, command: str, **arguments: Any) -> Any:
    """The reply of one worker to a remote control command."""
    worker.await_control()
    replies = app.control.broadcast(
        command, arguments=arguments, destination=[worker.name], reply=True, timeout=60, limit=1
    )
    return replies[0][worker.name]


@pytest.fixture(scope="module")
def sized(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with workers(tmp_path_factory.mktemp("sized")) as start:
        yield start("--sessions", "2", "--lanes", "2").ready()


def pool_of(worker: Worker) -> dict[str, Any]:
    return dict(ask(worker, "stats")["pool"])


def test_slots_follow_sessions_and_lanes(sized: Worker) -> None:
    until(lambda: ask(sized, "stats")["prefetch_count"] == 32)  # of both sessions
    stats = ask(sized, "stats")
    assert stats["pool"]["max-concurrency"] == 2 * 2 * 8
    assert stats["pool"]["sessions"] == 2
    assert stats["prefetch_count"] == 32
    assert stats["browser"] == "chrome" and stats["lanes"] == 2


def test_browser_status_tells_the_sessions(sized: Worker) -> None:
    status = ask(sized, "browser_status")
    assert status["pool"]["browser"] == "chrome" and status["n_slots"] >= 8
    assert [session["state"] for session in status["pool"]["sessions"]]


def test_resize_changes_sessions_slots_and_prefetch(sized: Worker) -> None:
    assert "resizing" in ask(sized, "resize", n=3)["ok"]
    until(lambda: pool_of(sized)["sessions"] == 3)
    until(lambda: ask(sized, "stats")["prefetch_count"] == 48)
    assert len(ask(sized, "browser_status")["pool"]["sessions"]) == 3
    assert ask(sized, "resize", n=0)["error"] == "0 sessions: a worker has 1 to 8"
    assert "error" in ask(sized, "resize", n=9)


def test_grow_and_shrink_as_flowers_buttons_ask(sized: Worker) -> None:
    ask(sized, "resize", n=2)
    until(lambda: pool_of(sized)["sessions"] == 2)
    assert ask(sized, "pool_grow", n=1) == {"ok": "pool will grow"}
    until(lambda: pool_of(sized)["sessions"] == 3)
    assert ask(sized, "pool_shrink", n=2) == {"ok": "pool will shrink"}
    until(lambda: pool_of(sized)["sessions"] == 1)
    until(lambda: ask(sized, "stats")["prefetch_count"] == 16)
    assert "error" in ask(sized, "pool_shrink", n=5)


def celery(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "webinfer", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        env=os.environ,
    )


def test_the_command_line_knows_the_commands_and_options(sized: Worker) -> None:
    shown = celery("inspect", "browser_status", "-d", sized.name, "-t", "30")
    assert shown.returncode == 0 and "memory-1" in shown.stdout
    assert "--sessions" in celery("worker", "--help").stdout


@pytest.mark.parametrize(
    "options",
    [["-Q", "chrome-vision,edge-text"], ["-Q", "chrome-vision", "--browser", "firefox"], []],
    ids=["two queues", "queue and browser", "every queue"],
)
def test_a_contradiction_is_refused_in_one_sentence(settings: Any, options: list[str]) -> None:
    refused = celery("worker", *options)
    assert refused.returncode == 2
    assert "a worker owns one browser, but these are named: chrome" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_worker_without_a_browsers_queue_owns_none(start_worker: StartWorker) -> None:
    plain = start_worker(queue="celery").ready()
    assert ask(plain, "browser_status") == {"error": "this worker owns no browsers"}
    assert "error" in ask(plain, "resize", n=2)
    assert pool_of(plain)["max-concurrency"] == 1
    ask(plain, "pool_grow", n=3)
    until(lambda: pool_of(plain)["max-concurrency"] == 4)


def test_the_health_of_browsers_and_models_are_events(sized: Worker) -> None:
    image = {"image": {"width": 28, "height": 28}}
    failed = infer.delay(
        model_type="vision", model_name="digits-vit", inputs=image, options={"fail": "ModelFault"}
    )
    with pytest.raises(InferenceError):
        failed.get(timeout=60)
    seen: dict[str, dict[str, Any]] = {}

    def on_health(event: dict[str, Any]) -> None:
        seen[event["type"]] = event
        receiver.should_stop = len(seen) == 2

    with app.connection_for_read() as connection:
        handlers = dict.fromkeys(("browser-health", "model-health"), on_health)
        receiver = app.events.Receiver(connection, handlers=handlers)
        receiver.capture(limit=None, timeout=60, wakeup=False)
    session = SessionStatus.from_wire(seen["browser-health"])
    assert session.browser == "chrome" and session.session.startswith("memory-")
    ((key, failing),) = FailingModels.from_wire(seen["model-health"]).failing_models.items()
    assert key.name == "digits-vit" and failing.breaker.failures == 1 and "as asked" in failing.last_error
    assert seen["model-health"]["hostname"] == sized.name
