"""Classification: resizing, cropping and normalising as Pillow and the config say; labels in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.errors import BadInput, Unsupported
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation import reference
from browser_runtime.simulation.images import PixelPlan
from tests.stand_ins.tiny_models import write_classifier

CONFIG = {"size": {"height": 4, "width": 4}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}


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


def test_resizing_is_pillows() -> None:
    image = noise(9, 13)
    planes = PixelPlan.of(CONFIG, 3).prepare(image)
    resized = np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(planes, ((resized / 255 - 0.5) / 0.25).transpose(2, 0, 1), atol=1e-6)


def test_the_shorter_side_and_the_middle() -> None:
    config = CONFIG | {"size": {"shortest_edge": 6}, "do_center_crop": True, "crop_size": 4}
    image = noise(12, 31)
    planes = PixelPlan.of(config, 3).prepare(image)
    resized = np.asarray(Image.fromarray(image).resize((15, 6), Image.Resampling.BILINEAR))
    middle = resized[1:5, 5:9]
    np.testing.assert_allclose(planes, ((middle / 255 - 0.5) / 0.25).transpose(2, 0, 1), atol=1e-6)


def test_around_a_small_image_it_is_black() -> None:
    config = CONFIG | {"do_resize": False, "do_center_crop": True, "crop_size": 4}
    planes = PixelPlan.of(config, 3).prepare(np.full((2, 2, 3), 255, np.uint8))
    assert set(np.unique(planes)) == {-2.0, 2.0}
    assert (planes[:, 1:3, 1:3] == 2.0).all()


def test_grey_models_and_unscaled_ones() -> None:
    config = {"size": 2, "do_rescale": False, "do_normalize": False}
    planes = PixelPlan.of(config, 1).prepare(noise(2, 2))
    assert (planes == np.asarray(Image.fromarray(noise(2, 2)).convert("L"))).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"do_pad": True}, "preprocessing step do_pad"),
        ({"size": {"longest_edge": 4}}, "longest_edge"),
        ({"size": {"shortest_edge": 4}}, "without a fixed size"),
        ({"resample": 0}, "resample 0"),
    ],
)
def test_steps_that_no_page_does_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        PixelPlan.of(CONFIG | change, 3)


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
