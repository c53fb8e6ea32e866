"""The parts of a worker that need no Redis."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.loops import LoopThread
from tasks import app
from tasks.coroutines import CoroutineTask, Outcome, handing_over
from workers.execution.clock import TracerClock
from workers.execution.interruption import Interruptible
from workers.execution.sizing import MAX_SESSIONS, MIN_SESSIONS, Sizing, count_slots
from workers.queues import Contradiction, plan_browser


async def run_interrupted(body: Any, error: BaseException) -> Any:
    interruptible = Interruptible(body)

    async def await_it() -> Any:
        return await interruptible

    task = asyncio.ensure_future(await_it())
    await asyncio.sleep(0)
    interruptible.interrupt(error)
    return await task


async def test_an_interruption_is_raised_where_the_body_waits() -> None:
    async def body() -> str:
        try:
            await asyncio.sleep(30)
        except TimeoutError as error:
            await asyncio.sleep(0)  # it may still await
            return f"caught {error}"
        return "slept"

    assert await run_interrupted(body(), TimeoutError("now")) == "caught now"


async def test_an_interruption_nobody_minds_ends_the_body() -> None:
    cleaned = []

    async def body() -> None:
        try:
            async with asyncio.timeout(30):
                await asyncio.sleep(30)
        finally:
            cleaned.append(True)

    with pytest.raises(ValueError, match="now"):
        await run_interrupted(body(), ValueError("now"))
    assert cleaned


async def test_a_cancellation_stays_one_and_an_ended_body_is_left_alone() -> None:
    async def body() -> str:
        return "done"

    interruptible = Interruptible(body())
    interruptible.interrupt(ValueError())
    assert await interruptible == "done"
    interruptible.interrupt(ValueError())

    async def forever() -> None:
        await Interruptible(asyncio.sleep(30))

    task = asyncio.ensure_future(forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_an_outcome_is_handed_over_once() -> None:
    class Task(CoroutineTask):
        name = "unit.once"

        async def body(self, *args: Any) -> str:
            return f"ran {args}"

    task = Task()
    with handing_over(Outcome("handed")):
        assert task.run(1) == "handed"
        assert task.run(2) == "ran (2,)"
    with handing_over(Outcome(error=KeyError("x"))), pytest.raises(KeyError):
        task.run()
    assert task.run(3) == "ran (3,)"


def test_an_outage_of_redis_is_no_failure_of_a_task_but_raised_where_its_message_goes_back() -> None:
    with handing_over(Outcome()), pytest.raises(redis.ConnectionError, match="away"):
        app.backend.mark_as_failure("id", redis.ConnectionError("away"))


def test_the_tracers_clock_counts_what_the_body_took() -> None:
    clock = TracerClock()
    with clock.set_back(5.0):
        start = clock()
        assert 5.0 <= clock() - start < 65.0
    assert abs(clock() - time.monotonic()) < 60.0


def test_a_worker_owns_the_browser_its_queues_name() -> None:
    assert plan_browser(["chrome-vision"], None) is Browser.CHROME
    assert plan_browser(["chrome-vision", "celery"], "chrome") is Browser.CHROME
    assert plan_browser(["celery"], None) is None
    assert plan_browser([], "edge") is Browser.EDGE
    for queues, browser in ((["chrome-vision", "edge-text"], None), (["chrome-vision"], "edge")):
        with pytest.raises(Contradiction, match=r"chrome \(chrome-vision\), edge \(edge-text\)"):
            plan_browser(queues, browser)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 500))
def test_slots_are_enough_for_every_lane(n_sessions: int, n_lanes: int, at_least: int) -> None:
    slots = count_slots(n_sessions, n_lanes, at_least)
    assert slots >= max(2 * n_sessions * n_lanes, at_least)
    assert count_slots(n_sessions + 1, n_lanes, at_least) >= slots


class Resizable:
    """A runner that can only be resized."""

    def __init__(self) -> None:
        self.fail = False

    async def resize(self, n: int) -> int:
        if self.fail:
            raise RuntimeError("no memory")
        return n


@given(st.lists(st.integers(-9, 9), max_size=6))
def test_sizes_stay_within_bounds(steps: list[int]) -> None:
    loop = LoopThread("unit")
    loop.start()
    reached: list[int] = []
    sizing = Sizing(Resizable(), loop, 1, reached.append)  # type: ignore[arg-type]
    for step in steps:
        try:
            sizing.change(step)
        except ValueError:
            assert not MIN_SESSIONS <= sizing.n_wanted + step <= MAX_SESSIONS
        loop.call(asyncio.sleep(0))
    loop.stop()
    assert all(MIN_SESSIONS <= n <= MAX_SESSIONS for n in [*reached, sizing.n_sessions])


async def test_what_a_future_failed_with_is_the_bodys_to_handle() -> None:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def body() -> str:
        try:
            await failed
        except KeyError:
            return "handled"
        return "missed"

    async def await_it() -> Any:
        return await Interruptible(body())

    task = asyncio.ensure_future(await_it())
    await asyncio.sleep(0)
    failed.set_exception(KeyError("x"))
    assert await task == "handled"
