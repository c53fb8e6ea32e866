"""Outputs that say nothing are told, in pages and in the simulation: zeros, equal numbers, NaN."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from browser_runtime.contract.errors import BadOutput
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation.session import SimulatedSession
from tests.conftest import require_browser
from tests.stand_ins.faulty_models import plant_copy
from tests.stand_ins.language_graphs import write_language_graph
from tests.stand_ins.odd_graphs import turn_into

pytestmark = pytest.mark.asyncio(loop_scope="module")

LLAMA = "tiny-llama-spoilt"
IMAGE = np.full((28, 28, 3), 255, np.uint8)
SOUND = np.sin(np.arange(16_000) / 5).astype(np.float32)
LABELS: dict[str, Any] = {"candidate_labels": ["three", "five"]}
WRITE: dict[str, Any] = {"max_new_tokens": 4}


@dataclass(frozen=True)
class Case:
    """A graph of a model whose first output is one number throughout, what it is asked, and what is said."""

    source: str
    graph: str
    number: float
    family: Family
    inputs: dict[str, Any]
    told: str
    options: dict[str, Any]
    is_warned: bool = False

    @property
    def name(self) -> str:
        """Of the model."""
        return f"{self.source}-{self.graph.replace('_', '-')}-{self.number:g}"


def case(source: str, graph: str, number: float, told: str, *, warned: bool = False, **options: Any) -> Case:
    family, inputs = QUESTIONS[source]
    return Case(source, graph, number, family, inputs, told, options, warned)


QUESTIONS: dict[str, tuple[Family, dict[str, Any]]] = {
    "digits-vit": (Family.VISION, {"images": [IMAGE]}),
    "digits-clip": (Family.VISION, {"images": [IMAGE]}),
    "digits-clap": (Family.AUDIO, {"sounds": [SOUND]}),
    "tones-whisper": (Family.AUDIO, {"sounds": [SOUND]}),
    "digits-llava": (Family.MULTIMODAL, {"images": [{"image": IMAGE, "texts": ["Which digit is this?"]}]}),
    LLAMA: (Family.TEXT_GENERATION, {"prompts": ["Once"]}),
}
ZEROS, FLAT, NO_NUMBER = "the embedding is all zeros", r"all \d+ logits of a token are equal", "(?i)is nan"
CASES = [
    case("digits-vit", "model", 0, "all 10 logits are equal", warned=True),
    case("digits-clip", "vision_model", 0, ZEROS),
    case("digits-clip", "text_model", 0, ZEROS, **LABELS),
    case("digits-clip", "text_model", 1, "all 2 logits are equal", warned=True, **LABELS),
    case("digits-clip", "vision_model", nan, NO_NUMBER),
    case("digits-clap", "audio_model", 0, ZEROS),
    case("digits-clap", "text_model", 1, "all 2 logits are equal", warned=True, **LABELS),
    case("digits-clap", "text_model", nan, NO_NUMBER, **LABELS),
    case("tones-whisper", "decoder_model_merged", 1, FLAT),
    case("tones-whisper", "decoder_model_merged", nan, NO_NUMBER),
    case("digits-llava", "vision_encoder", 0, ZEROS, **WRITE),
    case("digits-llava", "decoder_model_merged", 1, FLAT, **WRITE),
    case("digits-llava", "decoder_model_merged", nan, NO_NUMBER, **WRITE),
    case(LLAMA, "model", 1, FLAT, **WRITE),
    case(LLAMA, "model", nan, NO_NUMBER, **WRITE),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoilt(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """One session, and a model for each case."""
    require_browser(Browser.EDGE)
    store = ModelStore(settings.models_dir)
    import_model(
        write_language_graph(tmp_path_factory.mktemp("llama") / "llama", "llama"), LLAMA, store=store
    )
    for each in CASES:
        plant_copy(store, each.name, each.source, each.graph, turn_into(each.number))
    pool = Pool(settings, Browser.EDGE, store=store)
    await pool.open()
    yield pool
    await pool.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("backend", [Backend.WASM, None], ids=["page", "simulation"])
async def test_what_says_nothing_is_told(spoilt: Pool, case: Case, backend: Backend | None) -> None:
    request = Request(case.family, case.name, case.inputs, backends=(Backend.WASM,), options=case.options)
    if case.is_warned:
        reply = await run(spoilt, request, backend)
        assert any(case.told in warning for warning in reply.warnings), reply.warnings
        return
    with pytest.raises(BadOutput, match=case.told):
        await run(spoilt, request, backend)


async def run(pool: Pool, request: Request, backend: Backend | None) -> Reply:
    if backend is not None:
        return await pool.run(request)
    simulated = SimulatedSession(Browser.EDGE, "to compare with")
    return await simulated.run(request, await pool.store.provide(request.model_name))
