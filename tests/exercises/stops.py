"""Streams that are stopped amid their text, again and again: nothing of them remains.

python -m tests.exercises.stops [--runs 200] [--browser chrome]    memory and keys, every tenth of the runs

Some are closed, some revoked, some dropped, some end at a deadline.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from browser_runtime.contract.errors import DeadlineExceeded
from browser_runtime.contract.vocabulary import Browser
from webinfer.bench.streaming import STORY
from webinfer.producing import use_broker
from webinfer.stack.stack import Stack

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Held:
    """What is held after so many stopped runs."""

    n_runs: int
    worker_mb: float
    browser_mb: float
    """All its processes (PSS)."""
    page_bytes: int
    """Weights, cache and everything else of the model in the page."""
    n_keys: int
    n_lasting: int
    """Streams in Redis without a time at which they go."""


def stop_one(browser: Browser, n: int) -> None:
    """Stream a text, and stop it after its first piece."""
    from tasks import infer

    asked = STORY | {"browser": str(browser)}
    stream = infer.stream(**asked | {"deadline_s": 0.2 if n % 4 == 3 else None})
    with suppress(DeadlineExceeded):
        for _ in stream:
            if n % 4 == 0:
                stream.close()
            elif n % 4 == 1:
                stream.result.revoke(terminate=True)
            if n % 4 < 3:
                break


def measure(browser: Browser, n_runs: int, worker: psutil.Process) -> Held:
    """What is held once a usual request has been answered."""
    from tasks import app, infer
    from tasks.keys import RedisKeys

    asked = STORY | {"browser": str(browser), "options": STORY["options"] | {"max_new_tokens": 4}}
    reply = infer.delay(**asked).get(timeout=TIMEOUT_S)
    time.sleep(1)  # the browser frees what it no longer needs when it has time
    browser_bytes = sum(child.memory_full_info().pss for child in worker.children(recursive=True))
    streams = list(app.redis.scan_iter(RedisKeys(app.settings.redis_prefix).pieces("*")))
    n_lasting = sum(app.redis.ttl(key) == -1 for key in streams)
    worker_mb = worker.memory_full_info().uss / 1e6
    page_bytes = int(reply["details"]["memory_bytes"])
    return Held(n_runs, worker_mb, browser_bytes / 1e6, page_bytes, app.redis.dbsize(), n_lasting)


def run_stops(browser: Browser, n_runs: int) -> list[Held]:
    """Stop `n_runs` streams; what is held after each tenth of them."""
    with Stack([browser]) as stack:
        use_broker(stack.broker_url)
        (pid,) = [part.pid for part in stack.parts if str(browser) in part.name]
        worker, held = psutil.Process(pid), []
        for n in range(n_runs + 1):
            if n % max(n_runs // 10, 1) == 0:
                held.append(measure(browser, n, worker))
                print(held[-1], flush=True)
            stop_one(browser, n)
    return held


def main() -> None:
    """Print what is held, and fail where it grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--browser", default="chrome", choices=[str(browser) for browser in Browser])
    chosen = parser.parse_args()
    held = run_stops(Browser(chosen.browser), chosen.runs)
    settled, last = held[len(held) // 2], held[-1]
    assert last.page_bytes == settled.page_bytes, "the page holds more"
    assert last.n_lasting == 0, "streams in Redis that never go"
    for before, after, what in (
        (settled.worker_mb, last.worker_mb, "the worker"),
        (settled.browser_mb, last.browser_mb, "the browser"),
    ):
        assert after < before * 1.1 + 5, f"{what} holds {after:.0f} MB, {before:.0f} MB half-way"


if __name__ == "__main__":
    main()
