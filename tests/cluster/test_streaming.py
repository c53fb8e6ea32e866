"""Generated text on its way to a producer: piece by piece, through killed workers, closed by who reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from browser_runtime.contract.errors import BackendFault, BadInput
from tasks import app, infer
from tasks.keys import RedisKeys
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
