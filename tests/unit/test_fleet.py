"""How many sessions a pool has while some are replaced and others die."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from browser_runtime.contract.errors import BrowserDied, SessionLost
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.notifier import Notifier


class Fakes(Fleet):
    """A fleet whose sessions have no browsers; a start waits until it is let go."""

    def __init__(self) -> None:
        super().__init__(None, 1, Notifier())  # type: ignore[arg-type]
        self.starts: asyncio.Queue[bool] = asyncio.Queue()

    def find(self, browser: Browser) -> Any:
        return SimpleNamespace(browser=browser)

    async def _bring_up(self, name: str, installation: Any) -> Any:
        if not await self.starts.get():
            raise BrowserDied(name, "as asked")

        async def close() -> None:
            pass

        return Fake(name=name, installation=installation, state=SessionState.READY, close=close)


class Fake(SimpleNamespace):
    """A session that has nothing to do."""

    lanes: tuple[Any, ...] = ()
    idle = True
    __hash__ = object.__hash__


async def until(check: Any) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110  # several tasks take their turns
            await asyncio.sleep(0)


@pytest.mark.parametrize("comes_up", [True, False])
async def test_a_session_that_dies_while_another_starts_in_its_place_is_replaced_once(comes_up: bool) -> None:
    fleet = Fakes()
    fleet.starts.put_nowait(True)
    await fleet.grow(Browser.EDGE)
    (first,) = fleet.sessions
    recycling = asyncio.create_task(fleet.recycle(first, "it leaks"))
    await until(lambda: fleet.n_starting[Browser.EDGE] == 1)
    fleet.lose(first, SessionLost(first.name, "killed"))
    await until(lambda: not fleet.sessions)
    for answer in [comes_up, True, True]:
        fleet.starts.put_nowait(answer)
    await recycling
    await until(lambda: fleet.n_starting[Browser.EDGE] == 0)
    assert [session.name for session in fleet.sessions] == ["edge-2" if comes_up else "edge-3"]
    assert fleet.wanted[Browser.EDGE] == fleet.count(Browser.EDGE) == 1
    await fleet.close()


async def test_a_session_that_is_being_replaced_is_not_replaced_once_more() -> None:
    """Its start takes longer than the time to the next check of the pool."""
    fleet = Fakes()
    fleet.starts.put_nowait(True)
    await fleet.grow(Browser.EDGE)
    (first,) = fleet.sessions
    recyclings = [asyncio.create_task(fleet.recycle(first, "its folder was removed")) for _ in range(2)]
    await until(lambda: fleet.n_starting[Browser.EDGE] > 0)
    for _ in range(3):
        fleet.starts.put_nowait(True)
    await asyncio.gather(*recyclings)
    assert [session.name for session in fleet.sessions] == ["edge-2"]
    assert fleet.wanted[Browser.EDGE] == fleet.count(Browser.EDGE) == 1
    await fleet.close()
