"""Images and texts compared: right values are transformers' own, on the weights that were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference

STORED = json.loads((Path(__file__).parents[1] / "data/digits_clip.json").read_text())
PHRASES: list[str] = STORED["phrases"]
GREY = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return ModelStore(tmp_path_factory.mktemp("models")).ensure("digits-clip")


@pytest.fixture(scope="module")
def images(model: StoredModel) -> list[np.ndarray]:
    return [np.asarray(Image.open(model.folder / path).convert("RGB")) for path in STORED["images"]]


def ask(model: StoredModel, items: list[Any], **options: Any) -> list[dict[str, Any]]:
    return reference(model, Family.VISION, items, options)


def test_texts_are_embedded_as_get_text_features(model: StoredModel) -> None:
    outputs = ask(model, [{"texts": [phrase]} for phrase in PHRASES])
    np.testing.assert_allclose([o["embedding"] for o in outputs], STORED["text_features"], atol=2e-5)
    assert all(o["tokens"] > 2 and not o["truncated"] for o in outputs)


def test_images_are_embedded_as_get_image_features(model: StoredModel, images: list[np.ndarray]) -> None:
    expected = np.load(model.folder / "examples/embeddings.npy")
    np.testing.assert_allclose([o["embedding"] for o in ask(model, images)], expected, atol=2e-4)
    for output in ask(model, images, normalize=True):
        assert np.linalg.norm(output["embedding"]) == pytest.approx(1, abs=1e-6)


def test_logits_and_probabilities_are_those_of_the_whole_model(
    model: StoredModel, images: list[np.ndarray]
) -> None:
    outputs = ask(model, [{"image": image, "texts": PHRASES} for image in images])
    for output, logits, scores in zip(
        outputs, STORED["logits_per_image"], STORED["probabilities"], strict=True
    ):
        np.testing.assert_allclose(output["logits"], logits, atol=5e-3)
        by_label = {each["label"]: each["score"] for each in output["labels"]}
        np.testing.assert_allclose([by_label[phrase] for phrase in PHRASES], scores, atol=2e-3)
        assert output["labels"] == sorted(output["labels"], key=lambda each: -each["score"])


def test_candidate_labels_go_into_the_template(model: StoredModel, images: list[np.ndarray]) -> None:
    names = ["three", "five", "eight"]
    outputs = ask(model, images, candidate_labels=names, top_k=1)
    assert [output["labels"][0]["label"] for output in outputs] == ["three", "eight", "five"]
    said = ask(model, [{"image": images[0], "texts": [f"{name}?" for name in names]}])
    asked = ask(model, images[:1], candidate_labels=names, hypothesis_template="{}?")
    np.testing.assert_array_equal(said[0]["logits"], asked[0]["logits"])


def test_a_label_that_comes_twice_is_scored_twice(model: StoredModel, images: list[np.ndarray]) -> None:
    """As a column of transformers' logits_per_image a text, whatever stands in the others."""
    (output,) = ask(model, [{"image": images[0], "texts": [PHRASES[0], PHRASES[1], PHRASES[0]]}])
    first, second = STORED["logits_per_image"][0][:2]
    np.testing.assert_allclose(output["logits"], [first, second, first], atol=1e-3)
    parts = np.exp(output["logits"] - np.max(output["logits"]))
    scores = sorted((each["score"] for each in output["labels"]), reverse=True)
    np.testing.assert_allclose(scores, sorted(parts / parts.sum(), reverse=True), atol=1e-6)


def test_one_image_in_a_list_is_that_image(model: StoredModel, images: list[np.ndarray]) -> None:
    """So a multimodal request has it, of which a CLIP is one of the models."""
    listed, alone = ask(
        model, [{"images": images[:1], "texts": PHRASES[:1]}, {"image": images[0], "texts": PHRASES[:1]}]
    )
    np.testing.assert_array_equal(listed["embedding"], alone["embedding"])
    np.testing.assert_array_equal(listed["logits"], alone["logits"])


@pytest.mark.parametrize(
    ("item", "options", "words"),
    [
        ({"texts": ["a", "b"]}, {}, r"images\[0\] is 2 texts without an image, but must be one text"),
        ({"texts": ["a"]}, {"candidate_labels": ["b"]}, r"images\[0\] is holding texts"),
        ({}, {}, r"images\[0\] is of type dict, but must be an image, texts, or both"),
        ({"images": [GREY, GREY], "texts": ["a"]}, {}, "is 2 images with one text, but must be one image"),
        ({"images": [GREY], "prompt": "<image> a"}, {}, "is a prompt or a chat, but must be an image, texts"),
        (
            {"image": GREY},
            {"candidate_labels": []},
            "candidate_labels is an empty list, but must be one label",
        ),
        ({"texts": ["a"]}, {"hypothesis_template": "{}!"}, "given alone, but must be given with candidate"),
        ({"texts": ["a"]}, {"candidate_labels": ["b"], "hypothesis_template": "x"}, "a text with {} where"),
    ],
)
def test_what_cannot_be_compared_is_named(
    model: StoredModel, item: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        ask(model, [item], **options)


def test_a_classifier_refuses_texts(tmp_path: Path) -> None:
    vit = ModelStore(tmp_path).ensure("digits-vit")
    with pytest.raises(BadInput, match=r"images\[0\] is holding texts, but must be an image: a classifier"):
        ask(vit, [{"texts": ["a cat"]}])
