"""Tiny models of many types with transformers' own answers, from tests/data/make_encoders.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from tests.stand_ins.archives import unpack

ARCHIVE = Path(__file__).parents[1] / "data/encoders.tar.xz"
TEXT_MODELS = ("distilbert", "modernbert", "mpnet", "roberta", "xlm-roberta")
IMAGE_MODELS = ("convnext", "dinov2", "efficientnet", "swin")


def draw() -> np.ndarray:
    """The image that the answers are for."""
    rows, columns = np.mgrid[:48, :64]
    planes = [(3 * rows + 5 * columns) % 256, (rows * columns) % 256, (7 * columns) % 256]
    return np.stack(planes, axis=2).astype(np.uint8)


def import_all(home: Path, store: ModelStore) -> dict[str, dict[str, Any]]:
    """Imports every model as `tiny-<type>`; what is expected of each, by type."""
    unpack(ARCHIVE, home)
    for folder in sorted(home.iterdir()):
        if store.find(f"tiny-{folder.name}") is None:
            import_model(folder, f"tiny-{folder.name}", store=store)
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(home.glob("*/expected.json"))}


def question(kind: str, expected: dict[str, Any]) -> tuple[Family, dict[str, list[Any]]]:
    """The model type and inputs whose answers are expected."""
    if kind in TEXT_MODELS:
        return Family.TEXT_EMBEDDING, {"texts": expected["texts"]}
    image = draw()
    if kind in IMAGE_MODELS:
        return Family.VISION, {"images": [image]}
    return Family.VISION, {"images": [{"image": image, "texts": expected["labels"]}]}


def check(kind: str, outputs: list[dict[str, Any]], expected: dict[str, Any], tolerance: float) -> None:
    """Fails where the outputs are not those expected."""
    if kind in TEXT_MODELS:
        embeddings = [output["embedding"] for output in outputs]
        np.testing.assert_allclose(embeddings, expected["embeddings"], atol=tolerance, err_msg=kind)
    else:
        np.testing.assert_allclose(outputs[0]["logits"], expected["logits"], atol=tolerance, err_msg=kind)
