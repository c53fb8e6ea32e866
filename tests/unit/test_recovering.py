"""Whom a lost session is held against."""

from __future__ import annotations

import asyncio
from pathlib import Path

from browser_runtime.contract.errors import BridgeClosed, BrowserDied, FailedAt, PageFault
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.store import ModelStore
from browser_runtime.pool.dispatch.recovering import count_loss
from browser_runtime.pool.dispatch.requests import PendingRequest

LOST = BrowserDied("chrome-1", "its process is gone")
RUNNING = BrowserDied("chrome-1", "its process is gone")
RUNNING.at = FailedAt("chrome-1", "Chromium", "wasm")


def orders(n: int, models: Path) -> list[PendingRequest]:
    model = ModelStore(models).ensure("sentences-bert")
    request = Request(Family.TEXT_EMBEDDING, model.name, {"texts": ["a"]})
    loop = asyncio.get_running_loop()
    return [PendingRequest(request, model, 0.0, None, loop.create_future()) for _ in range(n)]


async def test_of_a_batch_nobody_is_blamed_and_each_goes_on_by_itself(tmp_path: Path) -> None:
    batch = orders(3, tmp_path)
    count_loss(batch, RUNNING)
    assert [(order.attempts, order.blamed, order.alone) for order in batch] == [(1, set(), True)] * 3


async def test_one_that_ran_by_itself_is_blamed_but_not_for_a_load(tmp_path: Path) -> None:
    (order,) = orders(1, tmp_path)
    count_loss([order], LOST)
    assert (order.attempts, order.blamed) == (1, set())
    count_loss([order], RUNNING)
    assert (order.attempts, order.blamed) == (2, {"chrome-1"})


async def test_a_session_that_came_back_is_blamed_once(tmp_path: Path) -> None:
    (order,) = orders(1, tmp_path)
    for _ in range(2):
        dropped = BridgeClosed("chrome-1", "lane 0 left")
        dropped.at = RUNNING.at
        count_loss([order], dropped)
    assert (order.attempts, order.blamed) == (2, {"chrome-1"})


async def test_what_is_no_loss_counts_for_nothing(tmp_path: Path) -> None:
    (order,) = orders(1, tmp_path)
    count_loss([order], PageFault("a defect", ""))
    assert (order.attempts, order.blamed, order.alone) == (0, set(), True)
