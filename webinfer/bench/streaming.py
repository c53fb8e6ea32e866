"""Measures how late a producer has what a page has generated: by the page's clock, which is the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.vocabulary import Browser
from tasks.app import app
from tasks.infer import infer
from tasks.keys import RedisKeys
from tasks.streaming.entries import PieceEntry
from tasks.streaming.stream import Stream
from webinfer.bench.samples import Summary, summarise

# At such chances the built-in model goes on for some dozens of tokens.
STORY: dict[str, Any] = {
    "model_type": "text_generation",
    "model_name": "numbers-llama",
    "inputs": "Write",
    "options": {"temperature": 5.0, "repetition_penalty": 10.0, "max_new_tokens": 200},
}
SEVERAL = 4


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of the pieces of several stories that were streamed at once."""

    n_streams: int
    """At once, from one lane, each read by a producer of its own."""
    page_to_producer: Summary
    ms_per_token: float
    """Of one story, in the page: what a reader waits for anyway."""


class TimedStream(Stream):
    """A stream that notes when each piece was made and when it came."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(
            stream.result, RedisKeys(app.settings.redis_prefix).pieces(stream.id), lambda: app.redis
        )
        self.delays_ms: list[float] = []

    def take(self, entry: PieceEntry) -> None:
        """Keep the entry, and its age."""
        if entry.piece.made_ms:
            self.delays_ms.append(time.time() * 1000 - entry.piece.made_ms)
        super().take(entry)


def measure_streaming(browser: Browser, n_stories: int, tell: Callable[[str], None]) -> list[Delays]:
    """Delays of one stream alone and of several at once, through a running worker of `browser`."""
    tell("warming up")
    _read(browser, 1)
    found = []
    for n_streams in (1, SEVERAL):
        tell(f"{n_streams} at a time")
        rounds = [_read(browser, n_streams) for _ in range(max(n_stories // n_streams, 1))]
        streams = [stream for streams in rounds for stream in streams]
        delays = [delay for stream in streams for delay in stream.delays_ms]
        per_token = [stream.reply["details"]["ms_per_token"] for stream in streams if stream.reply]
        found.append(Delays(n_streams, summarise(delays), sum(per_token) / len(per_token)))
    return found


def _read(browser: Browser, n_streams: int) -> list[TimedStream]:
    """So many stories at once, read to their ends."""
    with ThreadPoolExecutor(n_streams) as threads:
        return list(threads.map(lambda _: _read_one(browser), range(n_streams)))


def _read_one(browser: Browser) -> TimedStream:
    stream = TimedStream(infer.stream(**STORY, browser=str(browser)))
    for _ in stream:
        pass
    return stream
