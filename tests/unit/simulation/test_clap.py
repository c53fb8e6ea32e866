"""Sounds and texts compared: right values are transformers' own, on the weights that were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.models.configuration.sound_features import SoundPlan
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from browser_runtime.simulation.clap import compute_decibels, fill_window

STORED = json.loads((Path(__file__).parents[1] / "data/digits_clap.json").read_text())
PHRASES: list[str] = STORED["phrases"]
RATE_HZ = 48_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return ModelStore(tmp_path_factory.mktemp("models")).ensure("digits-clap")


@pytest.fixture(scope="module")
def waves(model: StoredModel) -> list[np.ndarray]:
    return [soundfile.read(model.folder / path, dtype="float32")[0] for path in STORED["sounds"]]


def sound(wave: np.ndarray) -> dict[str, Any]:
    return {"audio": wave, "rate_hz": RATE_HZ}


def ask(model: StoredModel, items: list[Any], **options: Any) -> list[dict[str, Any]]:
    return reference(model, Family.AUDIO, items, options)


def test_texts_are_embedded_as_get_text_features(model: StoredModel) -> None:
    outputs = ask(model, [{"texts": [phrase]} for phrase in PHRASES])
    np.testing.assert_allclose([o["embedding"] for o in outputs], STORED["text_features"], atol=2e-5)
    assert all(o["tokens"] > 2 and not o["truncated"] for o in outputs)


def test_sounds_are_embedded_as_get_audio_features(model: StoredModel, waves: list[np.ndarray]) -> None:
    outputs = ask(model, [sound(wave) for wave in waves])
    np.testing.assert_allclose([o["embedding"] for o in outputs], STORED["audio_features"], atol=2e-5)
    assert [o["duration_s"] for o in outputs] == [len(wave) / RATE_HZ for wave in waves]
    projected = ask(model, [sound(waves[0])], normalize=False)[0]["embedding"]
    length = np.linalg.norm(projected)
    assert abs(length - 1) > 0.1
    np.testing.assert_allclose(projected / length, outputs[0]["embedding"], atol=1e-6)


def test_logits_and_probabilities_are_those_of_the_whole_model(
    model: StoredModel, waves: list[np.ndarray]
) -> None:
    outputs = ask(model, [{"audio": sound(wave), "texts": PHRASES} for wave in waves])
    for output, logits, scores in zip(
        outputs, STORED["logits_per_audio"], STORED["probabilities"], strict=True
    ):
        np.testing.assert_allclose(output["logits"], logits, atol=1e-3)
        by_label = {each["label"]: each["score"] for each in output["labels"]}
        np.testing.assert_allclose([by_label[phrase] for phrase in PHRASES], scores, atol=1e-4)


def test_candidate_labels_go_into_the_template(model: StoredModel, waves: list[np.ndarray]) -> None:
    names = ["two", "seven", "nine"]
    outputs = ask(model, [sound(wave) for wave in waves], candidate_labels=names, top_k=1)
    assert [output["labels"][0]["label"] for output in outputs] == ["seven", "nine", "two"]
    said = ask(
        model, [{"audio": sound(waves[0]), "texts": [f"This is a sound of {name}." for name in names]}]
    )
    asked = ask(model, [sound(waves[0])], candidate_labels=names)
    np.testing.assert_array_equal(said[0]["logits"], asked[0]["logits"])


def test_of_a_long_sound_the_middle_is_heard_and_that_is_said(
    model: StoredModel, waves: list[np.ndarray]
) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(5 * RATE_HZ)).astype(np.float32)
    whole, middle = ask(model, [sound(noise), sound(noise[3 * RATE_HZ // 2 : 7 * RATE_HZ // 2])])
    np.testing.assert_array_equal(whole["embedding"], middle["embedding"])
    assert (whole["truncated"], middle["truncated"], whole["duration_s"]) == (True, False, 5.0)
    doubt = PROCESSORS.take(model).find_doubt
    assert doubt(whole) == "of a sound of 5.0 s its middle 2 s were heard"
    assert doubt(middle) == ""


def test_a_sound_at_16_khz_is_resampled(model: StoredModel, waves: list[np.ndarray]) -> None:
    soxr = pytest.importorskip("soxr")
    plain = soxr.resample(waves[2], RATE_HZ, 16_000, quality="HQ")
    (output,) = ask(model, [plain])
    # What is above 8 kHz, the model does not hear.
    assert output["embedding"] @ np.array(STORED["audio_features"][2]) > 0.99


@pytest.mark.parametrize("case", STORED["features"], ids=lambda case: str(case["preprocessor"]))
def test_features_are_those_of_transformers(case: dict[str, Any]) -> None:
    keys = case["preprocessor"]
    plan = SoundPlan.of(keys, {"audio_config": {"num_mel_bins": keys.get("feature_size", 64)}})
    rising = (0.5 * np.sin(1e-5 * np.arange(30_000) ** 2)).astype(np.float32)
    features = compute_decibels(fill_window(rising, plan), plan)
    assert features.shape == (1, plan.n_frames, plan.n_mels) == tuple(case["shape"])
    np.testing.assert_allclose(features.ravel()[:: STORED["stride"]], case["values"], atol=2e-2)


@pytest.mark.parametrize(
    ("item", "options", "words"),
    [
        ({"texts": ["a", "b"]}, {}, r"sounds\[0\] is 2 texts without a sound, but must be one text"),
        ({"texts": ["a"]}, {"candidate_labels": ["b"]}, r"sounds\[0\] is holding texts, but must be a sound"),
        ({}, {}, r"sounds\[0\] is of type dict, but must be a float32 array"),
        (np.zeros(0, np.float32), {}, "a sound without samples"),
    ],
)
def test_what_cannot_be_compared_is_named(
    model: StoredModel, item: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        ask(model, [item], **options)


def test_a_whisper_refuses_texts(tmp_path: Path) -> None:
    whisper = ModelStore(tmp_path).ensure("tones-whisper")
    with pytest.raises(BadInput, match=r"sounds\[0\] is holding texts, but must be a sound: Whisper writes"):
        ask(whisper, [{"texts": ["a dog"]}])
