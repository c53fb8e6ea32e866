"""Requests while browsers are killed under them: every one is answered right, none twice.

python -m tests.exercises.kills [--requests 200] [--every 3]    a browser dies every 3 s
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from browser_runtime.contract.errors import InferenceError
from browser_runtime.pool import Pool
from browser_runtime.pool.dispatch.requests import PendingRequest
from browser_runtime.pool.notifier import Notifier
from browser_runtime.session.session import Session
from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration
from tests.exercises.questions import MODELS, Question, read_questions
from tests.observing import Relay
from tests.processes import kill_all

MODELS_ASKED = ("sentences-bert", "digits-vit")
# So long that 200 requests see ten browsers die.
PACE_S = 0.15
NOTICE_TIMEOUT_S = 60.0


@dataclass
class Killed:
    """What became of the requests."""

    n_right: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    answered: list[PendingRequest] = field(default_factory=list)
    """One entry an answer."""
    n_retried: int = 0
    """Answers that took more than one attempt."""
    noticed_ms: list[float] = field(default_factory=list)
    """From each kill until the pool knew that the session was lost."""
    progress: Notifier = field(default_factory=Notifier)

    @property
    def n_done(self) -> int:
        """Requests that have come to an end."""
        return self.n_right + len(self.wrong) + len(self.failed)

    @property
    def n_twice(self) -> int:
        """Answers beyond the first to the same request."""
        return len(self.answered) - len(set(map(id, self.answered)))


Victim = Callable[[Pool], Awaitable[float]]
"""Kills one of the pool's browsers; how long it took the pool to know, in milliseconds."""
Killer = Callable[[Killed, Callable[[Victim], Awaitable[None]]], Awaitable[None]]
"""Calls the second whenever a browser shall die."""


async def run_kills(
    n_requests: int, pace_s: float, killer: Killer, n_sessions: int = 2, n_at_once: int = 100
) -> Killed:
    """Send a request every `pace_s`, at most `n_at_once`, while `killer` kills; in several browsers."""
    killed = Killed()
    async with ResourcePoolBridgeIntegration(n_sessions, n_sessions, adaptive_scaling=False) as integration:
        models = {
            name: await integration.get_model(MODELS[name], name, {"priority_list": ["cpu"]})
            for name in MODELS_ASKED
        }
        engine = integration._up()
        dispatch = engine.pool.dispatch
        dispatch.observe(Relay(dispatch.outcomes.observer, answered=killed.answered.append))

        killing_one = asyncio.Lock()

        async def kill_one(victim: Victim) -> None:
            work: Any = lambda: victim(engine.pool)  # noqa: E731
            async with killing_one:
                killed.noticed_ms.append(await asyncio.wrap_future(engine.submit(work)))

        killing = asyncio.ensure_future(killer(killed, kill_one))
        try:
            await _ask_all(models, n_requests, pace_s, killed, asyncio.Semaphore(n_at_once))
            async with asyncio.timeout(NOTICE_TIMEOUT_S), killing_one:
                pass  # the last answer may come before the last kill is noticed
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
    return killed


async def _ask_all(
    models: dict[str, PooledModel],
    n_requests: int,
    pace_s: float,
    killed: Killed,
    room: asyncio.Semaphore,
) -> None:
    questions = itertools.cycle([question for name in MODELS_ASKED for question in read_questions(name)])
    async with asyncio.TaskGroup() as group:
        for question in itertools.islice(questions, n_requests):
            await room.acquire()
            asking = group.create_task(_ask(models[question.model_name], question, killed))
            asking.add_done_callback(lambda _: room.release())
            await asyncio.sleep(pace_s)


async def _ask(model: PooledModel, question: Question, killed: Killed) -> None:
    try:
        result = await model.run(question.inputs)
    except InferenceError as error:
        killed.failed.append(f"{type(error).__name__}: {error}")
    else:
        _count(killed, result, question.mismatch(result))
    killed.progress.notify()


def _count(killed: Killed, result: dict[str, Any], mismatch: str) -> None:
    killed.n_retried += result["routing"]["attempt"] > 1
    if mismatch:
        killed.wrong.append(mismatch)
    else:
        killed.n_right += 1


async def kill_busy(pool: Pool) -> float:
    """Kill the browser of the next session that computes; milliseconds until the pool knew."""
    started = Notifier()
    observer = pool.dispatch.outcomes.observer
    pool.dispatch.observe(Relay(observer, busy=lambda n_busy: started.notify()))
    await started.until(lambda: any(not session.idle for session in pool.sessions))
    pool.dispatch.observe(observer)
    return await kill(pool, next(session for session in pool.sessions if not session.idle))


async def kill_any(pool: Pool) -> float:
    """Kill the browser of some session as soon as there is one; milliseconds until the pool knew."""
    await pool.notifier.until(lambda: bool(pool.sessions))
    return await kill(pool, random.choice(pool.sessions))


async def kill(pool: Pool, session: Session) -> float:
    """Kill all processes of the session's browser; milliseconds until the pool knew."""
    start, launched = time.monotonic(), session._launched
    assert launched is not None
    kill_all(psutil.Process(launched.leader).children(recursive=True))
    await pool.notifier.until(lambda: session not in pool.sessions)
    return (time.monotonic() - start) * 1000


def every(interval_s: float) -> Killer:
    """Kill by the clock."""

    async def killer(killed: Killed, kill_one: Callable[[Victim], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await kill_one(kill_any)

    return killer


def after_answers(*numbers: int) -> Killer:
    """Kill once so many requests are done, and at the next of those numbers again."""

    async def killer(killed: Killed, kill_one: Callable[[Victim], Awaitable[None]]) -> None:
        for n in numbers:
            await killed.progress.until(lambda n=n: killed.n_done >= n)
            await kill_one(kill_busy)

    return killer


def main(arguments: list[str]) -> int:
    """Exit code 0 where every request was answered right and none twice."""
    parser = argparse.ArgumentParser(description="Answer requests while browsers are killed.")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between kills")
    asked = parser.parse_args(arguments)
    start = time.monotonic()
    killed = asyncio.run(run_kills(asked.requests, PACE_S, every(asked.every), n_sessions=3))
    print(f"{asked.requests} requests in {time.monotonic() - start:.0f} s, {len(killed.noticed_ms)} kills")
    counts = (f"{killed.n_right} right", f"{len(killed.wrong)} wrong", f"{len(killed.failed)} failed")
    print(", ".join(counts), f"{killed.n_twice} twice", sep=", ")
    print(f"{killed.n_retried} were answered at another attempt than the first")
    if killed.noticed_ms:
        worst, usual = max(killed.noticed_ms), statistics.median(killed.noticed_ms)
        print(f"a kill was noticed after {usual:.0f} ms (median), {worst:.0f} ms (longest)")
    for told in killed.wrong + killed.failed:
        print(told)
    return int(killed.n_right != asked.requests or killed.n_twice > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
