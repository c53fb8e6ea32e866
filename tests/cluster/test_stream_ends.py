"""Both ends of a stream in one process, the worker's and the producer's: Redis cut off, restarted, shared."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from celery import chain, group
from celery.exceptions import TimeoutError as ResultTimeout

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.pieces import Piece
from tasks import app, echo, infer
from tasks.keys import RedisKeys
from tasks.settings import TaskSettings
from tasks.streaming.stream import Stream
from tests.cluster.redis_server import Server, own_server
from tests.cluster.steering import word

ASK: dict[str, Any] = {
    "model_type": "text_generation",
    "model_name": "m",
    "inputs": "Say it",
    "browser": "chrome",
}
# Celery's backend, which a worker runs in another process.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
KEEPS = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def server(settings: TaskSettings) -> Iterator[Server]:
    """A Redis whose data outlive it; nothing takes what is sent there."""
    with own_server(settings, *KEEPS) as server:
        yield server


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def said(n_words: int) -> str:
    return "".join(map(word, range(n_words)))


def key_of(stream: Stream) -> str:
    return RedisKeys(app.settings.redis_prefix).pieces(stream.id)


def speak(
    stream: Stream, n_words: int, pause_s: float = 0.01, watch: Callable[[int], object] = lambda said: None
) -> None:
    """What a worker does: pieces, the reply, the end. `watch` is called after each piece."""
    pieces = app.stream_writer.open(key_of(stream))
    pieces.begin()
    for number in range(n_words):
        pieces.put(Piece((number,), word(number), time.time() * 1000))
        watch(number)
        time.sleep(pause_s)
    app.backend.store_result(stream.id, {"output": {"text": said(n_words)}}, "SUCCESS")
    app.stream_writer.end(key_of(stream))


def test_cut_connections_lose_nothing(server: Server, worker: ThreadPoolExecutor) -> None:
    def cut(number: int) -> None:
        if number % 10 == 5:
            app.redis.client_kill_filter(_type="normal", skipme=True)

    stream = infer.stream(**ASK)
    speaking = worker.submit(speak, stream, 40, 0.02, cut)
    pieces = list(stream)
    speaking.result()
    assert "".join(pieces) == said(40) and len(pieces) > 10
    assert not app.redis.exists(key_of(stream)), "nothing is written behind the end"


def test_a_restart_of_redis_loses_nothing(server: Server, worker: ThreadPoolExecutor) -> None:
    """Longer than any client tries by itself: the pieces wait in the worker, and the reader goes on."""

    def restart(number: int) -> None:
        if number == 5:
            server.end()
        if number == 60:
            server.start()

    stream = infer.stream(**ASK)
    speaking = worker.submit(speak, stream, 100, 0.1, restart)
    pieces = list(stream)
    speaking.result()
    assert "".join(pieces) == said(100)
    assert len(pieces) > 20, "it went on before the reply"


def test_what_a_second_run_says_again_is_read_once(server: Server, worker: ThreadPoolExecutor) -> None:
    stream = infer.stream(**ASK)
    dead: list[Future[None]] = []

    def die(number: int) -> None:
        if number == 3:
            dead.append(worker.submit(speak, stream, 8))
            raise SystemExit

    worker.submit(speak, stream, 8, 0.01, die)
    assert "".join(stream) == said(8)
    dead[0].result()


def test_two_readers_share_the_pieces(server: Server, worker: ThreadPoolExecutor) -> None:
    stream = infer.stream(**ASK)
    readers = [worker.submit(list, stream) for _ in range(2)]
    speak(stream, 30)
    pieces = [piece for reader in readers for piece in reader.result()]
    assert sorted("".join(pieces).split()) == sorted(said(30).split())
    assert list(stream) == [], "it was read to its end"


def test_a_loop_that_was_left_is_gone_on_with(server: Server, worker: ThreadPoolExecutor) -> None:
    stream = infer.stream(**ASK)
    speak(stream, 10)
    pieces = [next(iter(stream)), *stream]
    assert "".join(pieces) == said(10) and stream.reply is not None


def test_a_reader_waits_as_long_as_it_says(server: Server) -> None:
    stream = infer.stream(**ASK)
    with pytest.raises(ResultTimeout):
        list(stream.pieces(timeout=0.2))
    stream.close()


def test_a_thread_that_ends_closes_its_connections(server: Server, worker: ThreadPoolExecutor) -> None:
    """Celery keeps a backend for each thread, and drops it with the thread."""

    def connection() -> Any:
        pool = app.backend.client.connection_pool
        app.backend.client.ping()
        return pool.get_connection()

    kept = worker.submit(connection).result()
    assert kept.is_connected
    worker.shutdown()
    gc.collect()
    assert not kept.is_connected


def test_no_stream_is_ever_without_the_time_at_which_it_goes(server: Server) -> None:
    stream = infer.stream(**ASK)
    speak(stream, 3)
    assert 0 < app.redis.ttl(key_of(stream)) <= app.settings.result_ttl_s
    app.redis.delete(key_of(stream))
    assert "".join(stream) == said(3), "pieces that are gone come with the reply"


def test_a_stream_without_a_reply_or_under_a_used_id_is_refused(server: Server) -> None:
    with pytest.raises(BadInput, match="ignore_result is True for a stream"):
        infer.open_stream(ASK, ignore_result=True)
    stream = infer.open_stream(ASK, task_id="given")
    speak(stream, 2)
    with pytest.raises(BadInput, match="task_id is 'given', which names a stream already"):
        infer.open_stream(ASK, task_id="given")
    assert "".join(stream) == said(2)


def test_a_stream_is_no_part_of_a_canvas(server: Server) -> None:
    stream = infer.stream(**ASK)
    for make in (lambda: chain(stream, echo.s()), lambda: echo.s() | stream, group([stream]).delay):
        with pytest.raises(BadInput, match=r"infer\.stream is a part of a canvas"):
            make()
