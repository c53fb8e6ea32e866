"""Models that share graphs with others: a classifier on CLIP's tower, heads on a text encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.clip import ImageComparingProcessor
from browser_runtime.models.intake.graph_builder import Array, GraphBuilder
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation.clip import ImageComparer

ONNX_OPSET = 17


def make_classifier(
    clip: StoredModel, texts: Sequence[str], name: str, scratch: Path, store: ModelStore
) -> StoredModel:
    """A classifier of images by `texts`, on the tower of `clip`: its logits are that model's own scores."""
    folder = scratch / name
    (folder / "onnx").mkdir(parents=True)
    for path in ("preprocessor_config.json", "onnx/vision_model.onnx"):
        shutil.copy(clip.folder / path, folder / path)
    labels = {str(index): text for index, text in enumerate(texts)}
    _write(folder / "config.json", {"architectures": ["ImageClassifier"], "id2label": labels})
    scale, vectors = _embed_texts(clip, texts)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    _save_head(folder / "onnx/classification_head.onnx", scale * units)
    return import_model(folder, name, FAMILIES["vision"], store)


def _embed_texts(clip: StoredModel, texts: Sequence[str]) -> tuple[float, Array]:
    """The scale of its scores, and a vector a text."""
    processor = ImageComparingProcessor.open(clip)
    assert processor.plan.scale is not None, "a CLIP that gives scores has a scale"
    comparer = ImageComparer(clip, processor, Precision.FP32)
    fields = [f"texts[{index}]" for index in range(len(texts))]
    items = processor.encode([{"texts": [text]} for text in texts], fields, {})
    whole = [item for item in items if not isinstance(item, BadInput)]
    vectors = [comparer.compute(comparer.prepare(item, "texts", {}), {}).texts for item in whole]
    return processor.plan.scale, np.array([vector for ((_, vector),) in vectors])


def _save_head(path: Path, rows: Array) -> None:
    """A graph image_embeds -> logits: the dot products of the vector, at length 1, with `rows`."""
    import onnx
    from onnx import TensorProto, helper

    graph = GraphBuilder()
    length = graph.add("ReduceL2", "image_embeds", axes=[1], keepdims=1)
    unit = graph.add("Div", "image_embeds", length)
    graph.add("MatMul", unit, graph.hold("rows", "rows", rows.T.astype(np.float32)), name="logits")
    shapes = {"image_embeds": ["batch", rows.shape[1]], "logits": ["batch", rows.shape[0]]}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name])]
        for name in ("image_embeds", "logits")
    )
    made = helper.make_graph(graph.nodes, "head", inputs, outputs, graph.constants)
    opset = [helper.make_opsetid("", ONNX_OPSET)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=9), path)


def make_text_head(
    source: Path, paths: Iterable[str], name: str, pooling: str, scratch: Path, store: ModelStore
) -> StoredModel:
    """A sentence model of the files `paths` in `source`, pooled by `pooling`: cls_token, max_tokens."""
    folder = scratch / name
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, folder / path)
    settings: dict[str, Any] = json.loads((folder / "1_Pooling/config.json").read_text())
    kept = {key: value for key, value in settings.items() if not key.startswith("pooling_mode_")}
    _write(folder / "1_Pooling/config.json", kept | {f"pooling_mode_{pooling}": True})
    return import_model(folder, name, FAMILIES["text_embedding"], store)


def _write(path: Path, plain: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(plain, indent=2))
