"""A Whisper in pages: heard through the log-mel shader, and each sound encoded once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import soundfile

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.sharing import KeptResults
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.pool import Pool
from tests.browser.engines import ONE_OF_EACH
from tests.browser.hearing import hear_both_ways

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = BUILTIN_FOLDER / "tones-whisper"
SPOKEN = "examples/spoken-8.flac"


def spoken() -> Any:
    return soundfile.read(FOLDER / SPOKEN, dtype="float32")[0]


async def write_down(pool: Pool, backend: Backend) -> Reply:
    inputs = {"sounds": [spoken()]}
    reply = await pool.run(Request(Family.AUDIO, "tones-whisper", inputs, backends=(backend,)))
    assert reply.backend == backend
    return reply


async def check_sharing(pool: Pool, backend: Backend) -> None:
    """The encoder's result is taken again, until its lane is told to drop what it keeps."""
    (session,) = pool.sessions

    def results() -> KeptResults:
        return KeptResults.sum(lane.sharing.results for lane in session.lanes)

    replies = [await write_down(pool, backend) for _ in range(2)]
    assert [reply.details.get("shared", [{}])[0].get("graph") for reply in replies] == [None, "encoder_model"]
    assert replies[0].output["tokens"] == replies[1].output["tokens"]
    held = results()
    assert held.n_references == 0
    assert sum([await lane.shed(10.0) for lane in session.lanes]) == held.size_bytes
    assert results().size_bytes == 0
    fresh = await write_down(pool, backend)
    assert "shared" not in fresh.details
    assert fresh.output["tokens"] == replies[0].output["tokens"]


@ONE_OF_EACH
async def test_it_writes_the_same_tokens_through_the_shader(shared_pool: Pool) -> None:
    manifest = json.loads((FOLDER / "webinfer.json").read_text())
    (wanted,) = (row["expected"]["text"] for row in manifest["examples"] if row["input"] == SPOKEN)
    by_shader, by_library = await hear_both_ways(shared_pool, "tones-whisper", [spoken()])
    assert by_shader.output[0]["tokens"] == by_library.output[0]["tokens"]
    assert by_shader.output[0]["text"] == wanted


async def test_a_sound_is_encoded_once_and_its_result_stays_until_it_is_shed(shared_pool: Pool) -> None:
    await check_sharing(shared_pool, Backend.WASM)


@ONE_OF_EACH
async def test_on_webgpu_too_a_sound_is_encoded_once(shared_pool: Pool) -> None:
    await check_sharing(shared_pool, Backend.WEBGPU)
