"""Graphs as other exporters write them, in the pages: the numbers that Python's onnxruntime has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family
from browser_runtime.models.intake import graph_check
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation import reference
from tests.stand_ins.odd_graphs import (
    Change,
    drop_input,
    fix_sizes,
    rewrite,
    set_versions,
    take_inputs_as,
    take_positions,
)
from tests.stand_ins.tiny_models import move_weights, write_classifier, write_text_repository
from tests.stand_ins.tiny_whisper import write_whisper

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = [
    "the girl eats bread .",
    "a man sleeps",
    "the man eats the bread the girl eats .",
    "a man eats bread",
]
IMAGES = [np.random.default_rng(seed).integers(0, 256, (9, 7 + seed, 3), np.uint8) for seed in range(3)]
SOUNDS = [np.sin(np.arange(8000) / pitch).astype(np.float32) for pitch in (5, 9)]
ITEMS: dict[Family, tuple[str, list[Any]]] = {
    Family.TEXT_EMBEDDING: ("texts", TEXTS),
    Family.VISION: ("images", IMAGES),
    Family.AUDIO: ("sounds", SOUNDS),
}
GRAPH = "onnx/model.onnx"
INT32 = take_inputs_as(TensorProto.INT32)
# Names that transformers.js refuses are the models' names here, so that each family is tried under one.
TEXT_GRAPHS: dict[str, list[Change]] = {
    "a--b": [INT32, fix_sizes(batch_size=2, sequence_length=14)],
    "text.git": [drop_input("token_type_ids", 0), drop_input("attention_mask", 1)],
    "org/text--positions": [take_positions(rows=1), fix_sizes(batch_size=1)],
}
IMAGE_GRAPHS: dict[str, list[Change]] = {
    "x.git": [fix_sizes(batch_size=2, num_channels=3, height=4, width=4)],
    "image..newest": [
        set_versions(ir=graph_check.MAX_IR_VERSION, opset=graph_check.MAX_OPSET),
    ],
}
FAMILIES = {
    **dict.fromkeys(TEXT_GRAPHS, Family.TEXT_EMBEDDING),
    **dict.fromkeys(IMAGE_GRAPHS, Family.VISION),
    "org/sound--x.git": Family.AUDIO,
}


@pytest.fixture(scope="session")
def store(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """The pools' own store, with every odd model imported; weights beside the graphs under odd names."""
    home, store = tmp_path_factory.mktemp("odd"), ModelStore(settings.models_dir)
    for at, (name, changes) in enumerate((TEXT_GRAPHS | IMAGE_GRAPHS).items()):
        folder = home / str(at)
        if FAMILIES[name] is Family.VISION:
            write_classifier(folder)
        else:
            write_text_repository(folder)
        rewrite(folder / GRAPH, *changes)
        move_weights(folder / GRAPH, "parts/100% мой#вес.bin" if at % 2 else "./weights.bin")
        import_model(folder, name, store=store)
    folder = write_whisper(home / "whisper")
    rewrite(folder / "onnx/decoder_model_merged.onnx", take_inputs_as(TensorProto.INT32, "input_ids"))
    import_model(folder, "org/sound--x.git", store=store)
    return store


def ask(name: str, backend: Backend) -> Request:
    field, items = ITEMS[FAMILIES[name]]
    return Request(FAMILIES[name], name, {field: items}, backends=(backend,), single=False)


def require_equal(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for one, other in zip(found, expected, strict=True):
        for key in ("embedding", "logits"):
            if key in other:
                # float32 in another order of additions, and padding, which the softmax rounds away.
                np.testing.assert_allclose(one[key], other[key], atol=2e-5)
        for key in ("tokens", "truncated", "text"):
            assert one.get(key) == other.get(key) or list(one[key]) == list(other[key])


@pytest.mark.parametrize("name", FAMILIES)
async def test_pages_run_them_as_python_does(shared_pool: Pool, store: ModelStore, name: str) -> None:
    can = shared_pool.sessions[0].capabilities
    family = FAMILIES[name]
    expected = reference(store.ensure(name), family, ITEMS[family][1])
    for backend in (Backend.WASM, Backend.WEBNN, Backend.WEBGPU):
        if can.can(backend):
            reply = await shared_pool.run(ask(name, backend))
            assert (reply.backend, reply.fallbacks) == (backend, ())
            require_equal(reply.output, expected)


@pytest.mark.parametrize(("limit", "version"), [("MAX_IR_VERSION", {"ir": 14}), ("MAX_OPSET", {"opset": 27})])
async def test_the_limits_that_imports_go_by_are_the_pages_own(
    shared_pool: Pool,
    store: ModelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    version: dict[str, int],
) -> None:
    """One more than the limit runs in Python and in no page: the models above have exactly the limit."""
    monkeypatch.setattr(graph_check, limit, 99)
    name = f"newer-{limit.lower()}-{shared_pool.browser}"
    folder = write_classifier(tmp_path / "source")
    rewrite(folder / GRAPH, set_versions(**version))
    import_model(folder, name, store=store)
    with pytest.raises(InferenceError, match=r"(?i)opset|IR version"):
        await shared_pool.run(
            Request(Family.VISION, name, {"images": IMAGES}, backends=(Backend.WASM,), single=False)
        )
