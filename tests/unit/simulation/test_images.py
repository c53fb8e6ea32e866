"""Classification: scores by the problem's function, labels in order; what is no image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation import reference
from tests.stand_ins.tiny_models import write_classifier, write_json


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    folder: Path = tmp_path_factory.mktemp("vit")
    return import_model(write_classifier(folder / "source"), "tiny", store=ModelStore(folder / "models"))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_labels_are_the_softmax_in_order(model: StoredModel) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 2] = 255
    output = reference(model, Family.VISION, [image], {"top_k": 2})[0]
    means = np.array([-1, -1, 1])
    logits = means @ (np.arange(9).reshape(3, 3) / 10)
    np.testing.assert_allclose(output["logits"], logits, atol=1e-6)
    scores = np.exp(logits) / np.exp(logits).sum()
    assert [label["label"] for label in output["labels"]] == ["class 0", "class 1"][
        :: 1 if scores[0] > scores[1] else -1
    ]
    assert output["labels"][0]["score"] == pytest.approx(float(scores.max()), abs=1e-6)


@pytest.mark.parametrize(
    ("config", "function"),
    [
        ({"id2label": {"0": "only"}}, "sigmoid"),
        ({"problem_type": "multi_label_classification"}, "sigmoid"),
        ({"problem_type": "regression"}, "none"),
        ({"problem_type": "single_label_classification"}, "softmax"),
    ],
)
def test_scores_are_made_as_the_problem_asks(tmp_path: Path, config: dict[str, Any], function: str) -> None:
    n_classes = len(config.get("id2label", "abc"))
    source = write_classifier(tmp_path / "source", n_classes=n_classes)
    write_json(source / "config.json", json.loads((source / "config.json").read_text()) | config)
    model = import_model(source, "tiny", store=ModelStore(tmp_path / "models"))
    output = reference(model, Family.VISION, [noise(4, 4)], {"top_k": 9})[0]
    logits = output["logits"].astype(float)
    scores = {
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "softmax": np.exp(logits) / np.exp(logits).sum(),
        "none": logits,
    }
    found = [label["score"] for label in output["labels"]]
    np.testing.assert_allclose(found, sorted(scores[function], reverse=True), atol=1e-6)
    asked = reference(model, Family.VISION, [noise(4, 4)], {"top_k": 9, "function_to_apply": "sigmoid"})[0]
    best = max(label["score"] for label in asked["labels"])
    assert best == pytest.approx(float(scores["sigmoid"].max()), abs=1e-6)


@pytest.mark.parametrize(
    "item", ["text", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image_is_named(model: StoredModel, item: Any) -> None:
    with pytest.raises(BadInput, match=r"images\[0\] is of shape"):
        reference(model, Family.VISION, [item])


@pytest.mark.skipif(not (BUILTIN_FOLDER / "digits-vit").exists(), reason="digits-vit is not built in")
def test_the_built_in_digits_are_read(tmp_path: Path) -> None:
    model = ModelStore(tmp_path).ensure("digits-vit")
    for example in model.extra["examples"]:
        image = np.asarray(Image.open(model.folder / example["input"]).convert("RGB"))
        assert (
            reference(model, Family.VISION, [image])[0]["labels"][0]["label"] == example["expected"]["label"]
        )
