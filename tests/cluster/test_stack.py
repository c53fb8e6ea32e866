"""The whole way on three real browsers: producer, Redis, Celery workers, pages, and back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from celery import chord, group

from browser_runtime.contract.errors import BadInput, UnknownModel, Unsupported
from browser_runtime.contract.session_processes import MARK
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.models.store import BUILTIN_FOLDER
from tasks import app, echo, infer
from tasks.settings import TaskSettings
from tests.cluster.conftest import await_control, disconnect_app, point_app
from tests.cluster.redis_server import guarded_server
from tests.conftest import END_TIMEOUT_S, odd_folder, require_browser, without_exceptions
from tests.processes import STOP_TIMEOUT_S, command_line, environment, kill_all, running, stop, with_word
from webinfer.stack.commands import node_name
from webinfer.stack.stack import Stack

pytestmark = pytest.mark.browser("firefox", "chrome", "edge")

PASSWORD = "hunter2-of-redis"
DIGITS = BUILTIN_FOLDER / "digits-vit/examples"
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for browser in Browser:
        require_browser(browser)
    with Stack(list(Browser), settings={"WEBINFER_SIMULATION": "never"}) as stack:
        point_app(TaskSettings(broker_url=stack.broker_url))
        yield stack
        disconnect_app()


def read(name: str, **more: Any) -> Any:
    """A pending reply for the digit in the example `name`."""
    return infer.delay(
        model_type="vision", model_name="digits-vit", inputs=str(DIGITS / f"{name}.png"), **more
    )


def label(reply: dict[str, Any]) -> str:
    return str(reply["output"]["labels"][0]["label"])


def webinfer(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "webinfer", *words],
        env=os.environ | {"WEBINFER_BROKER_URL": stack.broker_url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("browser", list(Browser))
def test_every_browser_answers_from_its_own_queue(stack: Stack, browser: Browser) -> None:
    reply = read("7", browser=str(browser)).get(timeout=TIMEOUT_S)
    assert label(reply) == "7"
    assert reply["browser"] == browser
    assert reply["is_simulation"] is False
    assert reply["total_time_ms"] >= reply["inference_time_ms"] > 0
    assert reply["memory_usage_mb"] > 10
    assert isinstance(reply["output"]["logits"], np.ndarray)


def test_the_usual_browser_is_chosen_and_the_reason_told(stack: Stack) -> None:
    reply = read("0").get(timeout=TIMEOUT_S)
    assert reply["browser"] == "chrome"
    assert "prior choice" in reply["routing"]["reason"]
    assert reply["routing"]["queue"] == "chrome-vision"


def test_edge_says_what_stands_in_for_it(stack: Stack) -> None:
    reply = read("7", browser="edge", priority_list=["webnn"]).get(timeout=TIMEOUT_S)
    assert reply["backend"] == "webnn"
    assert reply["browser_build"].startswith(("Microsoft Edge", "Chromium"))
    assert (
        reply["browser_build"].startswith("Microsoft Edge") or "stands in for edge" in reply["browser_build"]
    )


def test_groups_chords_and_queues_work_as_in_any_celery_project(stack: Stack) -> None:
    one = infer.s(model_type="vision", model_name="digits-vit", inputs=str(DIGITS / "4.png"))
    replies = group(one.set(queue=queue) for queue in ("firefox-audio", "chrome-vision", "edge-text"))()
    assert [label(reply) for reply in replies.get(timeout=TIMEOUT_S)] == ["4", "4", "4"]
    echoed = chord([one, one])(echo.s(browser="edge")).get(timeout=TIMEOUT_S)
    assert [label(reply) for reply in echoed] == ["4", "4"]


def test_a_large_tensor_goes_to_a_page_and_back(stack: Stack) -> None:
    tensor = np.random.default_rng(3).standard_normal((1000, 800), np.float32)
    back = echo.delay(tensor, browser="firefox").get(timeout=TIMEOUT_S)
    assert np.array_equal(back, tensor)


def test_refusals_are_one_sentence_and_leave_the_worker_unharmed(stack: Stack) -> None:
    with pytest.raises(BadInput, match="model_type is 'smell'"):
        infer.delay(model_type="smell", model_name="digits-vit", inputs="x")
    with pytest.raises(UnknownModel, match="did you mean digits-vit"):
        infer.delay(model_type="vision", model_name="digit-vit", inputs=str(DIGITS / "7.png")).get(
            timeout=TIMEOUT_S
        )
    with pytest.raises(Unsupported, match="webnn"):
        read("7", priority_list=["webnn"], browser="chrome").get(timeout=TIMEOUT_S)
    assert read("7", priority_list=["webnn"]).get(timeout=TIMEOUT_S)["browser"] == "edge", "which has it"
    with pytest.raises(BadInput, match="a model of vision, but must be a model of text_embedding"):
        infer.delay(model_type="text_embedding", model_name="digits-vit", inputs="x").get(timeout=TIMEOUT_S)
    assert label(read("7").get(timeout=TIMEOUT_S)) == "7"


def test_a_killed_browser_costs_a_moment_not_an_answer(stack: Stack) -> None:
    read("7").get(timeout=TIMEOUT_S)
    worker = next(part for part in stack.parts if "chrome" in part.name)
    browsers = [p for p in psutil.Process(worker.pid).children(recursive=True) if "chromium" in p.name()]
    assert browsers
    kill_all(browsers)
    assert [label(read(name).get(timeout=TIMEOUT_S)) for name in ("7", "0", "4")] == ["7", "0", "4"]


def test_remote_control_tells_and_resizes(stack: Stack) -> None:
    name = node_name(Browser.EDGE)
    await_control(name)
    answers = app.control.broadcast("browser_status", destination=[name], reply=True, timeout=60, limit=1)
    status = answers[0][name]
    assert status["pool"]["browser"] == "edge"
    assert status["pool"]["sessions"][0]["backends"]["webnn"] is True


def test_the_command_answers(stack: Stack) -> None:
    done = webinfer(stack, "infer", "-t", "vision", "-m", "digits-vit", "--json", str(DIGITS / "7.png"))
    assert done.returncode == 0, done.stderr
    assert label(json.loads(done.stdout)[0]) == "7"
    shown = webinfer(stack, "infer", "-t", "vision", "-m", "digits-vit", str(DIGITS / "7.png"))
    assert "7 (" in shown.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-t", "smell", "-m", "digits-vit", "x"], "'smell' is not one of 'text_embedding'"),
        (["-t", "vision", "-m", "digits-vit", "/nowhere/7.png"], "/nowhere/7.png"),
        (["-t", "vision", "-m", "digits-vit", "a text for a vision model"], "inputs is"),
        (["-t", "vision", "-m", "no-such-model", str(DIGITS / "7.png")], "is not known"),
        (["-t", "vision", "-m", "../../etc", str(DIGITS / "7.png")], "model_name"),
        (["-t", "vision", "-m", "digits-vit", "--backend", "cuda", str(DIGITS / "7.png")], "'cuda' is not"),
        (
            ["-t", "vision", "-m", "digits-vit", "--browser", "lynx", str(DIGITS / "7.png")],
            "'lynx' is not one of",
        ),
    ],
    ids=["type", "file", "text", "model", "escape", "backend", "browser"],
)
def test_a_users_mistake_is_one_sentence(stack: Stack, words: list[str], told: str) -> None:
    done = webinfer(stack, "infer", *words)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


@contextmanager
def start_up(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`webinfer up` with Edge alone, and all that it keeps in `folder`, as behind `nohup` and a proxy."""
    environment = {name: value for name, value in os.environ.items() if name != "WEBINFER_BROKER_URL"}
    places = dict.fromkeys(("TMPDIR", "XDG_DATA_HOME", "XDG_STATE_HOME"), str(folder))
    ignoring = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh"]
    with running(
        [*ignoring, sys.executable, "-m", "webinfer", "up", "--browser", "edge", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=without_exceptions(environment) | places,
    ) as up:
        yield up


def test_up_runs_everything_survives_kills_and_ctrl_c_takes_everything_down() -> None:
    with odd_folder() as folder, start_up(folder, "--monitor-port", "0") as up:
        assert up.stdout is not None
        told = read_until(up.stdout, "stop:")
        assert any("WEBINFER_BROKER_URL=redis+socket:///tmp/w%20i" in line for line in told), told
        assert any(line.startswith("logs:") and str(folder) in line for line in told), told
        monitor = next(line.split()[-1] for line in told if line.startswith("monitor:"))
        with urllib.request.urlopen(f"{monitor}/healthcheck", timeout=60) as answer:
            assert answer.status == 200
        for name, words in {"beat": "webinfer beat", "redis": "redis-server"}.items():
            child_of(up.pid, words).kill()
            assert any(line.startswith(name) for line in read_until(up.stdout, "started again"))
        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) > 7
        up.send_signal(signal.SIGHUP)  # the terminal that it does not need goes away
        up.send_signal(signal.SIGINT)
        rest = up.stdout.read()
        assert up.wait(STOP_TIMEOUT_S) == 130, rest
        assert "Traceback" not in rest
        assert_all_gone(children)
        assert not list(folder.glob("webinfer-*"))


def test_up_shows_no_password_and_goes_down_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    with odd_folder() as folder, guarded_server(tmp_path, PASSWORD) as url:
        with start_up(folder, "--broker", url, "--monitor-port", "0") as up:
            assert up.stdout is not None
            told = read_until(up.stdout, "stop:")
            children = psutil.Process(up.pid).children(recursive=True)
            assert_no_password([psutil.Process(up.pid), *children], told)
            up.stdout.close()
            stop(up, signal.SIGTERM)
        assert_all_gone(children)
        assert not list(folder.glob("webinfer-*"))


def assert_no_password(processes: list[psutil.Process], told: list[str]) -> None:
    """Neither what `up` prints shows it, nor any command line; browsers do not even know the broker."""
    assert not [line for line in told if PASSWORD in line]
    lines = {process.pid: command_line(process) for process in processes}
    for part in ("worker -Q edge-text", "analytics@", "watch@", "beat", "flower"):
        assert any(part in line for line in lines.values()), (part, lines)
    assert not [line for line in lines.values() if PASSWORD in line]
    knowing = [known for known in map(environment, processes) if MARK in known]
    assert len(knowing) >= 2, "driver and browser"
    assert not [known for known in knowing if PASSWORD in str(known) or "WEBINFER_BROKER_URL" in known]


def assert_all_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=END_TIMEOUT_S)
    assert not alive


def read_until(lines: Iterable[str], words: str) -> list[str]:
    """The lines up to the one with `words`."""
    told = []
    for line in lines:
        told.append(line)
        if words in line:
            return told
    raise AssertionError(told)


def child_of(pid: int, words: str) -> psutil.Process:
    """The child whose command line holds `words`."""
    for child in with_word(psutil.Process(pid).children(), words):
        return child
    raise AssertionError(words)


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "webinfer", "up", "--monitor-port", str(port)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and f"Port {port}" in done.stderr
