"""The built-in models as committed: whole, small, and giving the answers that their manifests promise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile
from PIL import Image
from tokenizers import Tokenizer

from browser_runtime.contract.families import (
    AUDIO,
    CLAP,
    CLIP,
    LLAVA,
    TEXT_EMBEDDING,
    TEXT_GENERATION,
    VISION,
)
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.manifest import StoredModel, list_paths
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation.runners import reference

BY_FAMILY = {
    Family.VISION: "digits-vit",
    Family.AUDIO: "tones-whisper",
    Family.TEXT_EMBEDDING: "sentences-bert",
    Family.TEXT_GENERATION: "numbers-llama",
    Family.MULTIMODAL: "digits-clip",
}
# Two families answer requests for sounds, and two those for images with texts.
NAMES = sorted([*BY_FAMILY.values(), "digits-clap", "digits-llava"])
LARGEST_BYTES = 24_000_000
TRIPLES = Path(__file__).parent / "data" / "sentence_triples.json"
# The same graph on another machine's CPU: its kernels may add in another order.
TOLERANCE = 1e-5
# Its expected vectors are transformers' own.
TOLERANCES = {CLIP: 2e-4, CLAP: 2e-5}
ENCODER_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
BATCH = "batch_size"


def find(name: str, tmp_path: Path) -> StoredModel:
    """The built-in model."""
    model = ModelStore(tmp_path).find(name)
    assert model is not None
    return model


def dimensions(path: Path) -> dict[str, list[Any]]:
    """The dimensions of the graph's inputs by name: a number, or the name of a free one."""
    session = onnxruntime.InferenceSession(str(path))
    return {node.name: node.shape for node in session.get_inputs()}


def show(model: StoredModel, example: dict[str, Any]) -> Any:
    """The example's input as a request carries it."""
    if model.family is TEXT_EMBEDDING:
        return example["input"]
    if model.family is TEXT_GENERATION:
        return [{"role": "user", "content": example["input"]}]
    if model.family is LLAVA:
        paths = [model.folder / path for path in example["input"]["images"]]
        images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
        return {"images": images, "texts": [example["input"]["text"]]}
    path = model.folder / example["input"]
    if model.family in (AUDIO, CLAP):
        samples, rate_hz = soundfile.read(path, dtype="float32")
        return samples if rate_hz == 16_000 else {"audio": samples, "rate_hz": rate_hz}
    return np.asarray(Image.open(path).convert("RGB"))


def test_there_is_one_for_each_family(tmp_path: Path) -> None:
    assert sorted(path.name for path in BUILTIN_FOLDER.iterdir()) == NAMES
    for family, name in BY_FAMILY.items():
        assert find(name, tmp_path).family.model_types[-1] is family


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_as_the_manifest_says(name: str, tmp_path: Path) -> None:
    model = find(name, tmp_path)
    assert list(list_paths(model.folder)) == sorted(model.files)
    for path, told in model.files.items():
        content = (model.folder / path).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (told.sha256, told.size_bytes), path


@pytest.mark.parametrize("name", NAMES)
def test_the_revision_follows_the_contents(name: str, tmp_path: Path) -> None:
    model = find(name, tmp_path)
    lines = "".join(f"{file.sha256}  {path}\n" for path, file in sorted(model.files.items()))
    assert model.revision == hashlib.sha256(lines.encode()).hexdigest()[:16]


def test_all_together_stay_small() -> None:
    sizes = [path.stat().st_size for path in BUILTIN_FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) <= LARGEST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_give_the_expected_answers(name: str, tmp_path: Path) -> None:
    model = find(name, tmp_path)
    examples = model.extra["examples"]
    assert len(examples) >= 3
    items = [show(model, example) for example in examples]
    for precision in model.precisions:
        outputs = reference(model, model.family.model_types[0], items, precision=precision)
        for example, output in zip(examples, outputs, strict=True):
            check(model, example["expected"], output)


def check(model: StoredModel, expected: dict[str, Any], output: dict[str, Any]) -> None:
    """Fails where the output is not the expected one."""
    match model.family.model_types[0]:
        case Family.VISION if model.family is VISION:
            assert output["labels"][0]["label"] == expected["label"]
        case Family.MULTIMODAL if model.family is LLAVA:
            assert (output["text"], output["tokens"]) == (expected["text"], expected["tokens"])
        case Family.AUDIO | Family.TEXT_GENERATION if model.family is not CLAP:
            assert output["text"] == expected["text"]
        case _:
            row = np.load(model.folder / expected["embedding"])[expected["row"]]
            assert np.abs(output["embedding"] - row).max() < TOLERANCES.get(model.family, TOLERANCE)


def test_held_out_digits_are_read(tmp_path: Path) -> None:
    model = find("digits-vit", tmp_path)
    held_out = np.load(model.folder / "examples" / "held_out.npz")
    shades = np.rint(held_out["ink"] / 16 * 255).astype(np.uint8)
    pictures = [np.repeat(shade[:, :, None], 3, axis=2) for shade in shades]
    answers = reference(model, Family.VISION, pictures, {"top_k": 1})
    read = [int(answer["labels"][0]["label"]) for answer in answers]
    assert np.mean(read == held_out["labels"]) >= 0.97


def test_like_sentences_are_closer_than_unlike_ones(tmp_path: Path) -> None:
    triples = json.loads(TRIPLES.read_text(encoding="utf-8"))
    answers = reference(
        find("sentences-bert", tmp_path),
        Family.TEXT_EMBEDDING,
        [text for triple in triples for text in triple],
    )
    anchors, alike, unlike = (
        np.array([answer["embedding"] for answer in answers]).reshape(-1, 3, 128).swapaxes(0, 1)
    )
    assert len(triples) >= 40
    assert np.mean((anchors * alike).sum(axis=1) > (anchors * unlike).sum(axis=1)) >= 0.9


def test_free_dimensions_have_the_names_that_browsers_fix_them_by(tmp_path: Path) -> None:
    digits, tones, sentences = (
        find(BY_FAMILY[family], tmp_path).folder / "onnx" for family in list(BY_FAMILY)[:3]
    )
    pixels = [BATCH, "num_channels", "height", "width"]
    assert dimensions(digits / "model.onnx") == {"pixel_values": pixels}
    assert dimensions(sentences / "model.onnx") == {
        name: [BATCH, "sequence_length"] for name in ENCODER_INPUTS
    }
    assert dimensions(tones / "encoder_model.onnx") == {"input_features": [BATCH, 80, 1000]}
    plain = dimensions(tones / "decoder_model.onnx")
    assert plain["input_ids"] == [BATCH, "decoder_sequence_length"]
    assert plain["encoder_hidden_states"] == [BATCH, "encoder_sequence_length", 64]
    merged = dimensions(tones / "decoder_model_merged.onnx")
    assert "use_cache_branch" in merged
    assert merged["past_key_values.0.decoder.key"][2] == "past_decoder_sequence_length"


def test_both_decoders_agree(tmp_path: Path) -> None:
    folder = find("tones-whisper", tmp_path).folder / "onnx"
    plain, merged = (
        onnxruntime.InferenceSession(str(folder / f"decoder_model{kind}.onnx")) for kind in ("", "_merged")
    )
    states = np.random.default_rng(1).standard_normal((1, 500, 64), np.float32)
    feeds = {"input_ids": np.array([[13, 14, 4]]), "encoder_hidden_states": states}
    empty = {
        node.name: np.zeros([1 if isinstance(size, str) else size for size in node.shape], np.float32)
        for node in merged.get_inputs()
        if node.name.startswith("past")
    }
    (ours,) = plain.run(["logits"], feeds)
    (theirs,) = merged.run(["logits"], {**feeds, **empty, "use_cache_branch": np.array([False])})
    assert np.abs(ours - theirs).max() < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_has_something_for_every_letter(name: str, tmp_path: Path) -> None:
    if (path := find(name, tmp_path).folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(path))
        for text in ("\U0001f590\ufe0f", "caf\u00e9", "\u65e5\u672c", "\x00", "five \u0635"):
            tokenizer.encode(text)
