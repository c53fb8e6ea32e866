"""`webinfer infer` with several inputs: each has its answer or its error, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from click.testing import CliRunner, Result

from tasks import app, infer
from tasks.settings import TaskSettings
from tests.cluster.conftest import Worker, until
from webinfer.commands.infer import command
from webinfer.producing import send

TEXT = ["-t", "text", "-m", "bert", "--browser", "chrome"]
TOO_LONG = "x" * 200_000


def ask(*words: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(command, [*TEXT, *words], given)


def test_one_that_fails_costs_no_other_its_answer(worker: Worker) -> None:
    done = ask("hello", TOO_LONG, "[red]bye")
    assert done.exit_code == 1
    first_words = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert {"hello", "[red]bye"} <= set(first_words) and "xxx" not in done.stdout
    (told,) = done.stderr.strip().splitlines()
    assert told.startswith(f"webinfer: {'x' * 37}...: ") and "200000" in told


def test_json_has_an_error_in_the_place_of_an_answer(worker: Worker) -> None:
    done = ask("--json", "hello", TOO_LONG, "bye")
    first, second, third = json.loads(done.stdout)
    assert (done.exit_code, first["success"], second["success"], third["success"]) == (1, True, False, True)
    assert (first["output"]["text"], third["output"]["text"]) == ("HELLO", "BYE")
    assert second["error"]["code"] in ("TooLarge", "BadInput") and second["input"].endswith("...")
    failing = ask("--json", "-o", "fail=PageFault", "hello")
    (only,) = json.loads(failing.stdout)
    assert (failing.exit_code, only["error"]["code"]) == (1, "PageFault")
    assert len(failing.stderr.strip().splitlines()) >= 1


def test_standard_input_is_read(worker: Worker) -> None:
    done = ask("--json", "-", given="from a pipe\n")
    assert json.loads(done.stdout)[0]["output"]["text"] == "FROM A PIPE"


def test_who_has_waited_long_enough_is_told_and_the_rest_revoked(worker: Worker) -> None:
    done = ask("--timeout", "3", "-o", "sleep_s=120", "hello")
    assert done.exit_code == 1 and "No worker answered within 3 s" in done.stderr
    asked = app.control.inspect(destination=[worker.name], timeout=60, limit=1)
    until(lambda: asked.active() == {worker.name: []})


def test_the_priority_is_celerys(worker: Worker) -> None:
    with worker.paused("chrome-vision"):
        pending = [
            send(priority=priority, model_type="text", model_name="bert", inputs="x", browser="chrome")
            for priority in (None, 0, 9)
        ]
        keys = ("chrome-vision", "chrome-vision\x06\x169")
        until(lambda: [app.redis.llen(key) for key in keys] == [2, 1])
    assert all(result.get(timeout=60)["success"] for result in pending)


def test_a_deadline_reaches_the_request(worker: Worker) -> None:
    made = infer.s(model_type="text", model_name="bert", inputs="x", deadline_s=7.5)
    assert made.kwargs["request"]["deadline_s"] == 7.5
    assert ask("--deadline", "7.5", "--precision", "int8", "hello").exit_code == 0


def test_without_a_redis_it_is_one_sentence(settings: TaskSettings) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webinfer", "infer", *TEXT, "one", "two"],
        env=os.environ | {"WEBINFER_BROKER_URL": "redis+socket:///nowhere/r.sock"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1 and not done.stdout
    (told,) = done.stderr.strip().splitlines()
    assert "No Redis answers at redis+socket:///nowhere/r.sock" in told
