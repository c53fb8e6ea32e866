"""A model that computes for ever costs itself two tries, and those who wait with it nothing but time."""

from __future__ import annotations

import asyncio

import pytest

from browser_runtime.contract.errors import ModelFault, PageSilent
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.store import ModelStore
from browser_runtime.policies import time_limits
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.stand_ins import faulty_models as faulty

KNOWN, FOR_EVER = "a man eats", f"the {faulty.ENDLESS} eats"


def embed(model: str, text: str) -> Request:
    return Request(Family.TEXT_EMBEDDING, model, {"texts": [text]}, backends=(Backend.WASM,))


@pytest.mark.browser("edge")
async def test_what_computes_for_ever_is_tried_twice_and_behind_the_others(
    settings: RuntimeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits, "SHORTEST_RUN_S", 4.0)
    store = ModelStore(settings.models_dir)
    for make in (faulty.loops, faulty.lookup):
        faulty.plant(store, make.__name__, {Precision.FP32: make()})
    pool = Pool(settings, Browser.EDGE, store=store)
    await pool.open()
    try:
        await pool.run(embed("loops", KNOWN))
        finished: list[str] = []
        guilty = asyncio.create_task(pool.run(embed("loops", FOR_EVER)))
        guilty.add_done_callback(lambda done: finished.append("guilty"))
        await asyncio.sleep(0)
        innocent = [asyncio.create_task(pool.run(embed("lookup", KNOWN))) for _ in range(5)]
        for each in innocent:
            each.add_done_callback(lambda done: finished.append("innocent"))
        replies = await asyncio.gather(*innocent)
        assert all(reply.success for reply in replies)
        with pytest.raises(PageSilent) as caught:
            await guilty
        assert finished == ["innocent"] * 5 + ["guilty"]
        first, last = caught.value.attempts
        assert (first.error, first.step, last.step) == ("PageSilent", "longer time limit", "fail")
        assert last.reason == "it hung 2 times"
        with pytest.raises(ModelFault, match=r"it failed once and is not tried before .* no answer to run"):
            await pool.run(embed("loops", FOR_EVER))
        assert (await pool.run(embed("lookup", KNOWN))).success
    finally:
        await pool.close()
