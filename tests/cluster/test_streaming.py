"""Generated text on its way to a producer: piece by piece, through killed workers, closed by who reads it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from celery import chain, group
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult

from browser_runtime.contract.errors import BackendFault, BadInput
from tasks import app, echo, infer
from tasks.arguments import build_request
from tasks.keys import RedisKeys
from tasks.sending.wire import to_message
from tests.cluster.conftest import StartWorker, Worker, until
from tests.cluster.steering import WAITS_BEHIND, word

ASK: dict[str, Any] = {
    "model_type": "text_generation",
    "model_name": "m",
    "inputs": "Say it",
    "browser": "chrome",
}
QUEUE = "firefox-audio"
# The module's worker does not serve this browser.
ELSEWHERE = ASK | {"browser": "firefox"}


def said(n_words: int) -> str:
    return "".join(map(word, range(n_words)))


def heard(stream: Iterable[str], gate: Path) -> str:
    """All that is generated; what comes behind the words that the runner waits after, once they are read."""
    text = ""
    for piece in stream:
        text += piece
        if text == said(WAITS_BEHIND + 1):
            gate.touch()
    return text


def test_pieces_come_as_they_are_generated_and_joined_are_the_reply(worker: Worker, tmp_path: Path) -> None:
    gate = tmp_path / "read"
    with infer.stream(**ASK, options={"speak": 5, "until": str(gate)}) as stream:
        text = heard(stream, gate)
    assert gate.exists() and stream.reply is not None
    assert text == stream.reply["output"]["text"] == said(5)
    assert AsyncResult(stream.id, app=app).get(timeout=60)["output"]["text"] == said(5)
    assert not app.redis.exists(RedisKeys(app.settings.redis_prefix).pieces(stream.id))


def test_two_streams_do_not_mix(worker: Worker) -> None:
    one, other = (infer.stream(**ASK, options={"speak": n, "sleep_s": 0.01}) for n in (7, 4))
    assert ["".join(stream) for stream in (one, other)] == [said(7), said(4)]


def test_a_reader_that_comes_late_gets_everything(worker: Worker) -> None:
    stream = infer.stream(**ASK, options={"speak": 3})
    stream.result.get(timeout=60)
    assert "".join(stream) == said(3)


def test_what_the_worker_raises_ends_the_stream(worker: Worker) -> None:
    with infer.stream(**ASK, options={"fail": "BackendFault"}) as stream, pytest.raises(BackendFault):
        list(stream)


def test_closing_the_stream_stops_the_request(start_worker: StartWorker, tmp_path: Path) -> None:
    log = tmp_path / "said"
    start_worker(queue=QUEUE, MEMORY_RUNNER_LOG=str(log)).ready()
    with infer.stream(**ELSEWHERE, options={"speak": 100_000, "sleep_s": 0.05}) as stream:
        assert next(iter(stream)).startswith(word(0))
    until(lambda: stream.result.state == "REVOKED")
    assert "said 99999" not in log.read_text()


def test_who_drops_a_stream_stops_the_request(start_worker: StartWorker, tmp_path: Path) -> None:
    log = tmp_path / "said"
    start_worker(queue=QUEUE, MEMORY_RUNNER_LOG=str(log)).ready()
    stream = infer.stream(**ELSEWHERE, options={"speak": 1000, "sleep_s": 0.05})
    result, key = stream.result, RedisKeys(app.settings.redis_prefix).pieces(stream.id)
    for piece in stream:
        assert piece == word(0)
        break
    assert next(iter(stream)).startswith(word(1)), "a loop that was left early is gone on with"
    del stream
    until(lambda: result.state == "REVOKED")
    n_said = log.read_text().count("said")
    assert n_said < 1000
    assert app.redis.ttl(key) != -1, "what is left in Redis goes by itself"


def test_a_process_that_ends_amid_a_stream_stops_the_request(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    log = tmp_path / "said"
    start_worker(queue=QUEUE, MEMORY_RUNNER_LOG=str(log)).ready()
    script = f"""
from browser_runtime.contract.options import COMMON_OPTIONS
from tasks import infer
from tests.cluster.steering import STEERING
COMMON_OPTIONS.update(STEERING)
stream = infer.stream(**{ELSEWHERE!r}, options={{"speak": 1000, "sleep_s": 0.05}})
print(stream.id, flush=True)
for piece in stream:
    raise KeyboardInterrupt
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert "KeyboardInterrupt" in done.stderr
    result = AsyncResult(done.stdout.strip(), app=app)
    until(lambda: result.state == "REVOKED")
    assert "said 999" not in log.read_text()


def test_cut_connections_lose_nothing(start_worker: StartWorker) -> None:
    start_worker(queue=QUEUE).ready()
    pieces = []
    with infer.stream(**ELSEWHERE, options={"speak": 12, "sleep_s": 0.1}) as stream:
        for n, piece in enumerate(stream):
            pieces.append(piece)
            if n in (2, 5):
                assert app.redis.client_kill_filter(_type="normal", skipme=True)
                app.redis.client_kill_filter(_type="pubsub")
    assert "".join(pieces) == said(12) and len(pieces) > 6


def test_a_request_that_goes_to_another_browser_is_still_streamed(start_worker: StartWorker) -> None:
    start_worker(queue=QUEUE).ready()
    asked = {name: value for name, value in ASK.items() if name != "browser"}
    steered = {"speak": 5, "sleep_s": 0.05, "fail": "Unsupported", "fail_on": "chrome"}
    start_worker().ready()
    until(lambda: app.redis.exists(RedisKeys(app.settings.redis_prefix).serving(QUEUE)) == 1)
    with infer.stream(**asked, options=steered) as stream:
        pieces = list(stream)
    assert stream.reply is not None and stream.reply["browser"] == "firefox"
    assert "".join(pieces) == said(5) and len(pieces) > 1


def test_two_readers_share_the_pieces(worker: Worker) -> None:
    stream = infer.stream(**ASK, options={"speak": 30, "sleep_s": 0.01})
    with ThreadPoolExecutor() as threads:
        one, other = (threads.submit(lambda: list(stream)) for _ in range(2))
        pieces = one.result() + other.result()
    assert sorted(" ".join(pieces).split()) == sorted(said(30).split())
    assert list(stream) == [], "it was read to its end"


def test_a_reader_waits_as_long_as_it_says(worker: Worker) -> None:
    stream = infer.stream(**ASK, options={"speak": 20, "sleep_s": 0.2})
    with pytest.raises(ResultTimeout):
        list(stream.pieces(timeout=0.5))
    stream.close()
    with pytest.raises(TaskRevokedError):
        list(stream)


def test_a_killed_worker_s_text_is_gone_on_with_and_printed_once(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    log, mark, gate = tmp_path / "said", tmp_path / "died", tmp_path / "read"
    environment = {"MEMORY_RUNNER_LOG": str(log), "MEMORY_RUNNER_DIES": str(mark)}
    start_worker(queue=QUEUE, **environment).ready()
    start_worker(queue=QUEUE, **environment).ready()
    text = heard(infer.stream(**ELSEWHERE, options={"speak": 8, "until": str(gate)}), gate)
    assert mark.exists()
    assert text == said(8)
    runs = [line for line in log.read_text().splitlines() if line.startswith("speak")]
    assert runs == ["speak behind 0", f"speak behind {WAITS_BEHIND + 1}"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model_type": "text"}, "model_type is 'text_embedding' for a stream, but must be one of text_gen"),
        ({"inputs": ["a", "b"]}, "inputs is a list for a stream, but must be one prompt"),
    ],
)
def test_what_cannot_be_streamed_is_refused_where_it_is_asked(more: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        infer.stream(**ASK | more)


def test_a_stream_without_a_reply_or_under_a_used_id_is_refused(worker: Worker) -> None:
    with pytest.raises(BadInput, match="ignore_result is True for a stream"):
        infer.open_stream(ASK, ignore_result=True)
    stream = infer.open_stream(ASK | {"options": {"speak": 2}}, task_id="given")
    stream.result.get(timeout=60)
    with pytest.raises(BadInput, match="task_id is 'given', which names a stream already"):
        infer.open_stream(ASK | {"options": {"speak": 3}}, task_id="given")
    assert "".join(stream) == said(2)


def test_a_stream_is_no_part_of_a_canvas(worker: Worker) -> None:
    with infer.stream(**ASK, options={"speak": 1}) as stream:
        for make in (lambda: chain(stream, echo.s()), lambda: echo.s() | stream, group([stream]).delay):
            with pytest.raises(BadInput, match=r"infer\.stream is a part of a canvas"):
                make()
        assert "".join(stream) == said(1)


def test_another_program_cannot_stream_a_list(worker: Worker) -> None:
    """Its message is checked where it arrives."""
    message = to_message(build_request(ASK | {"inputs": ["a", "b"]}, app.settings.limits()))
    sent = infer.apply_async((), message | {"stream": True})
    with pytest.raises(BadInput, match="one prompt"):
        sent.get(timeout=60)
