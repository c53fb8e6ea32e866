"""Encoders of many types answer in pages as transformers does: tiny ones with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.stand_ins.encoders import check, import_all, question

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_page_answers_as_transformers(
    shared_pool: Pool, settings: RuntimeSettings, tmp_path: Path
) -> None:
    store = ModelStore(settings.models_dir)
    for kind, expected in import_all(tmp_path, store).items():
        family, inputs = question(kind, expected)
        request = Request(family, f"tiny-{kind}", inputs, backends=(Backend.WASM,), single=False)
        reply = await shared_pool.run(request)
        assert (reply.success, reply.backend) == (True, Backend.WASM), kind
        check(kind, list(reply.output), expected, 1e-3)
