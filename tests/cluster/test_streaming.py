"""Generated text on its way to a producer: piece by piece, through killed workers, closed by who reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from browser_runtime.contract.errors import BackendFault, BadInput
from tasks import app, infer
from tasks.keys import RedisKeys
from tests.cluster.conftest import StartWorker, Worker, until
from tests.cluster.steering import word

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


def test_pieces_come_as_they_are_generated_and_joined_are_the_reply(worker: Worker) -> None:
    with infer.stream(**ASK, options={"speak": 5, "sleep_s": 0.05}) as stream:
        pieces = list(stream)
    assert len(pieces) > 1
    assert stream.reply is not None
    assert "".join(pieces) == stream.reply["output"]["text"] == said(5)
    assert AsyncResult(stream.id, app=app).get(timeout=10)["output"]["text"] == said(5)
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
    with infer.stream(**ELSEWHERE, options={"speak": 1000, "sleep_s": 0.05}) as stream:
        assert next(iter(stream)) == word(0)
    until(lambda: stream.result.state == "REVOKED")
    assert "said 999" not in log.read_text()


def test_a_killed_worker_s_text_is_gone_on_with_and_printed_once(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    log, mark = tmp_path / "said", tmp_path / "died"
    environment = {"MEMORY_RUNNER_LOG": str(log), "MEMORY_RUNNER_DIES": str(mark)}
    start_worker(queue=QUEUE, **environment).ready()
    start_worker(queue=QUEUE, **environment).ready()
    pieces = list(infer.stream(**ELSEWHERE, options={"speak": 8, "sleep_s": 0.2}))
    assert mark.exists()
    assert "".join(pieces) == said(8)
    runs = [line for line in log.read_text().splitlines() if line.startswith("speak")]
    assert runs[0] == "speak behind 0" and runs[-1] in {f"speak behind {n}" for n in (2, 3, 4)}


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
