"""The log-mel shader inside models: the same answers as with the features that transformers.js makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLAP = json.loads((Path(__file__).parents[1] / "unit/data/digits_clap.json").read_text())
WHISPER_FOLDER = BUILTIN_FOLDER / "tones-whisper"


def read(path: Path) -> Any:
    return soundfile.read(path, dtype="float32")[0]


async def hear(pool: Pool, model: str, items: list[Any]) -> tuple[Reply, Reply]:
    """With the shader and without; the shader first, for a model that is opened without it stays so."""
    replies = []
    for wanted in (True, False):
        options = {"compute_shaders": wanted, "reuse_results": False}
        request = Request(
            Family.AUDIO, model, {"sounds": items}, backends=(Backend.WEBGPU,), options=options, single=False
        )
        replies.append(await pool.run(request))
    by_shader, by_library = replies
    assert by_shader.backend == by_library.backend == Backend.WEBGPU
    assert not any("compute_shaders" in told for told in by_shader.warnings), by_shader.warnings
    assert (by_shader.compute_shader_optimized, by_library.compute_shader_optimized) == (True, False)
    kernels = {row["kernels"] for row in by_shader.details["front_ends"]["measured"]}
    assert kernels == {"log_mel webgpu", "transformers.js"}
    return by_shader, by_library


def require_webgpu(pool: Pool) -> None:
    capabilities = pool.sessions[0].capabilities
    if not capabilities.can(Backend.WEBGPU):
        pytest.skip(capabilities.reason(Backend.WEBGPU))


async def test_whisper_writes_the_same_tokens_through_the_shader(shared_pool: Pool) -> None:
    require_webgpu(shared_pool)
    manifest = json.loads((WHISPER_FOLDER / "webinfer.json").read_text())
    wanted = {row["input"]: row["expected"]["text"] for row in manifest["examples"]}
    paths = ["examples/spoken-8.flac"]
    sounds = [read(WHISPER_FOLDER / path) for path in paths]
    by_shader, by_library = await hear(shared_pool, "tones-whisper", sounds)
    assert [output["tokens"] for output in by_shader.output] == [
        output["tokens"] for output in by_library.output
    ]
    assert [output["text"] for output in by_shader.output] == [wanted[path] for path in paths]


async def test_clap_gives_transformers_labels_through_the_shader(shared_pool: Pool) -> None:
    """CLAP's picture is another one: decibels, frames in rows, filters of its own, sounds repeated."""
    require_webgpu(shared_pool)
    folder = BUILTIN_FOLDER / "digits-clap"
    items = [
        {"audio": {"audio": read(folder / path), "rate_hz": 48_000}, "texts": CLAP["phrases"]}
        for path in CLAP["sounds"][:2]
    ]
    by_shader, by_library = await hear(shared_pool, "digits-clap", items)
    for shaded, usual, logits in zip(
        by_shader.output, by_library.output, CLAP["logits_per_audio"][:2], strict=True
    ):
        assert [each["label"] for each in shaded["labels"]] == [each["label"] for each in usual["labels"]]
        assert shaded["labels"][0]["label"] == CLAP["phrases"][int(np.argmax(logits))]
        np.testing.assert_allclose(shaded["logits"], logits, atol=1e-2)
