"""Background tasks: kept while they run, and cancelled together with what they spawn meanwhile."""

from __future__ import annotations

import asyncio
import gc

from browser_runtime.background import TaskSet


async def test_a_task_that_nobody_holds_runs_to_its_end() -> None:
    tasks, done = TaskSet(), asyncio.Event()

    async def work() -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiting.set_result, None)
        await waiting
        done.set()

    tasks.spawn(work())
    gc.collect()
    await asyncio.wait_for(done.wait(), 60)


async def test_cancel_ends_what_a_cancelled_task_spawns_too() -> None:
    tasks, ended = TaskSet(), []

    async def prove() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("proof")

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.spawn(prove())
            ended.append("run")

    task = tasks.spawn(run())
    await asyncio.sleep(0)
    await tasks.cancel()
    assert task.cancelled()
    assert ended[0] == "run"
    assert asyncio.all_tasks() == {asyncio.current_task()}
