"""The pool's admission: what was in flight when a worker died runs one at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from tasks.coroutines import CoroutineTask, Outcome
from workers.delivery.holding import SUSPECT
from workers.execution.jobs import Job
from workers.execution.task_pool import TaskPool

TIMEOUT_S = 20.0


class Gate(CoroutineTask):
    """Runs until it is let go."""

    name = "unit.gate"

    def __init__(self) -> None:
        self.running: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def body(self, name: str) -> str:
        self.running.append(name)
        await self.gates.setdefault(name, asyncio.Event()).wait()
        self.running.remove(name)
        return name


class Silent:
    """Reports to nobody."""

    def __init__(self) -> None:
        self.finished: list[str] = []

    def accept(self, job: Job) -> Outcome | None:
        return None

    def finish(self, job: Job, outcome: Any) -> None:
        self.finished.append(job.id)


async def until(check: Any) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not check():  # noqa: ASYNC110  # the pool's loop is another thread's
            await asyncio.sleep(0.001)


async def test_suspects_run_one_at_a_time_beside_the_others() -> None:
    pool, task, reports = TaskPool(limit=4), Gate(), Silent()
    pool.on_start()
    pool._reports = reports  # type: ignore[assignment]

    def enter(name: str, redelivered: Any) -> None:
        request = {"args": [name], "kwargs": {}, "delivery_info": {"redelivered": redelivered}}
        job = Job(task, print, ("unit.gate", name, request), pool.loop.loop, print)
        pool._n_in_flight += 1
        pool.loop.loop.call_soon_threadsafe(pool._enter, job)

    def let_go(name: str) -> None:
        pool.loop.loop.call_soon_threadsafe(task.gates[name].set)

    try:
        for name in ("s1", "s2", "s3"):
            enter(name, SUSPECT)
        for name in ("a", "b"):
            enter(name, True)  # handed back: no suspect
        await until(lambda: sorted(task.running) == ["a", "b", "s1"])
        let_go("s1")
        await until(lambda: sorted(task.running) == ["a", "b", "s2"])
        enter("c", False)
        enter("d", False)
        await until(lambda: sorted(task.running) == ["a", "b", "c", "s2"])
        for name in ("s2", "a", "b", "c"):
            let_go(name)
        await until(lambda: sorted(task.running) == ["d", "s3"])
        for name in ("s3", "d"):
            let_go(name)
        await until(lambda: len(reports.finished) == 7)
    finally:
        pool.before_end = None
        pool._ended = True
        pool._threads.shutdown(wait=False)
        pool._finishers.shutdown(wait=True)
        pool.loop.stop()
