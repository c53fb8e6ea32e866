"""An empty result is a result: a sound without words."""

from __future__ import annotations

import numpy as np
import pytest

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOISE = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1
WORDLESS = {"silence": np.zeros(16_000, np.float32), "noise": NOISE, "one sample": np.ones(1, np.float32)}


def listen(**more: object) -> Request:
    sounds = list(WORDLESS.values())
    return Request(Family.AUDIO, "tones-whisper", {"sounds": sounds}, single=False, **more)


def check_silent(outputs: list[dict[str, object]]) -> None:
    for name, output in zip(WORDLESS, outputs, strict=True):
        assert (output["text"], list(output["tokens"])) == ("", []), name  # type: ignore[call-overload]


async def test_a_sound_without_words_is_an_empty_text(shared_pool: Pool) -> None:
    reply = await shared_pool.run(listen(backends=(Backend.WASM,)))
    assert reply.success
    check_silent(reply.output)


async def test_in_the_simulation_too(settings: RuntimeSettings) -> None:
    pool = Pool(settings.model_copy(update={"simulation": "always"}), Browser.FIREFOX)
    await pool.open()
    check_silent((await pool.run(listen())).output)
    await pool.close()
