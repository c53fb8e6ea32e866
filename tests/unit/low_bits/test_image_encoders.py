"""ViTs in 8 bits: held to the graph that transformers exported of the same weights, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput, BadRequest, InferenceError
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.low_bits.encoder import Encoder
from browser_runtime.low_bits.encoder_file import FILE, PackedEncoder, write_encoder
from browser_runtime.low_bits.encoder_shape import EncoderShape, ImageInput
from browser_runtime.models.intake.export_vit import vit_model
from browser_runtime.models.intake.quantising_encoders import quantise_encoder
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation.runners import reference
from tests.stand_ins.vits import DIGITS, read_vit_weights, write_vit
from webinfer.commands.models import command

MIN_COSINE = 0.999
CONFIG = json.loads((DIGITS / "config.json").read_text())


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


def test_a_vit_in_both_precisions_is_near_the_graph_that_transformers_exported(tmp_path: Path) -> None:
    """Its digits that training never saw: the same answers, and logits that point the same way."""
    store = ModelStore(tmp_path / "store")
    made = quantise_encoder(write_vit(tmp_path / "vit"), "digits-8bit", store)
    assert made.model.precisions == (Precision.FP32, Precision.BITS_8)
    assert store.verify("digits-8bit").whole
    assert (made.samples, made.least_cosine > MIN_COSINE) == ("six images", True)
    assert made.model.loaded_bytes(Precision.BITS_8) < made.model.loaded_bytes(Precision.FP32) / 2
    ink = np.load(DIGITS / "examples/held_out.npz")["ink"][:60]
    images = list(np.rint(ink / 16 * 255).astype(np.uint8)[..., None].repeat(3, -1))
    given = ModelStore().ensure("digits-vit")

    def run(model: Any, precision: Precision) -> np.ndarray:
        outputs = reference(model, Family.VISION, images, precision=precision)
        return np.stack([output["logits"] for output in outputs])

    wanted = run(given, Precision.FP32)
    exact, packed = run(made.model, Precision.FP32), run(made.model, Precision.BITS_8)
    assert np.abs(exact - wanted).max() < 1e-4
    assert cosines(packed, wanted).min() >= MIN_COSINE
    assert not np.array_equal(packed, exact)
    assert np.array_equal(packed.argmax(-1), wanted.argmax(-1))


def small_weights() -> dict[str, np.ndarray]:
    """Those of digits-vit, without a prefix."""
    return {name.removeprefix("vit."): tensor for name, tensor in read_vit_weights().items()}


def test_patches_without_a_multiple_of_eight_numbers_are_filled_up(tmp_path: Path) -> None:
    """3 x 5 x 5 are 75 numbers, packed as 80; what is left of 32 pixels behind six patches is not read."""
    shape = EncoderShape.of(CONFIG | {"patch_size": 5})
    assert isinstance(shape.input, ImageInput)
    assert (shape.input.patches, shape.input.columns) == (36, 80)
    chance = np.random.default_rng(0)
    patches = chance.standard_normal((64, 3, 5, 5), np.float32)
    positions = chance.standard_normal((1, 37, 64), np.float32)
    weights = small_weights() | {
        "embeddings.patch_embeddings.projection.weight": patches,
        "embeddings.position_embeddings": positions,
    }
    write_encoder(tmp_path / "8bit", shape, weights, {})
    planes = chance.standard_normal((3, 32, 32), np.float32)
    found = Encoder(PackedEncoder.open(tmp_path / "8bit")).classify(planes)
    whole = Encoder(PackedEncoder.open(tmp_path / "8bit")).classify(
        np.pad(planes[:, :30, :30], ((0, 0), (0, 2), (0, 2)))
    )
    assert np.array_equal(found, whole)
    wanted = run_graph(shape, weights, planes)
    assert cosines(found, wanted) >= MIN_COSINE


def run_graph(shape: EncoderShape, weights: dict[str, np.ndarray], planes: np.ndarray) -> np.ndarray:
    """The logits by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(vit_model(shape, weights).SerializeToString())
    (logits,) = session.run(None, {"pixel_values": planes[None]})
    return logits[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_act": "quick_gelu"}, "hidden_act of config.json is 'quick_gelu'"),
        ({"qkv_bias": False}, "qkv_bias of config.json is False, but must be left out or True: no others"),
        (
            {"image_size": [32, 32]},
            "image_size of config.json is [32, 32], but must be a whole number from 1",
        ),
        ({"patch_size": None}, "patch_size of config.json is missing"),
        ({"patch_size": 33}, "the patch's size in config.json is 33, but must be one that makes 1 to"),
        (
            {"num_attention_heads": 16},
            "the width of config.json is 64, but must be a multiple of 8 times the 16",
        ),
        (
            {"layer_scale": 0.1},
            "layer_scale of config.json is 0.1, but must be left out: it is not understood",
        ),
        ({"id2label": {}}, "id2label of config.json is {}, but must be an object with 1 to"),
        ({"model_type": "deit"}, "model_type of config.json is 'deit', but must be one of bert, vit"),
    ],
)
def test_a_vit_that_is_not_done_here_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        EncoderShape.of(CONFIG | change)
    assert words in str(caught.value)


def test_weights_that_are_no_whole_vit_are_refused_by_name(tmp_path: Path) -> None:
    shape = EncoderShape.of(CONFIG)
    weights = small_weights()
    with pytest.raises(BadRequest, match=r"no tensor 'classifier\.weight'"):
        write_encoder(
            tmp_path / "one",
            shape,
            {name: weights[name] for name in weights if name != "classifier.weight"},
            {},
        )
    short = weights | {"embeddings.position_embeddings": np.zeros((1, 50, 64), np.float32)}
    with pytest.raises(BadRequest, match=r"position_embeddings' is \[1, 50, 64\], not \[1, 65, 64\]"):
        write_encoder(tmp_path / "two", shape, short, {})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("image", "patch"), 0, "patch of image of the architecture"),
        (("image", "depth"), 3, "depth of image of the architecture"),
        (("vocab",), 12, "vocab of architecture of low_bits_encoder.json"),
        (("classes",), 11, "the tensor head of low_bits_encoder.json is [10, 64], not [11, 64]"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused_by_name(
    tmp_path: Path, path: tuple[str, ...], value: int, words: str
) -> None:
    shape = EncoderShape.of(CONFIG)
    write_encoder(tmp_path / "8bit", shape, small_weights(), {})
    plain = json.loads((tmp_path / "8bit" / FILE).read_text())
    place = plain["architecture"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "8bit" / FILE).write_text(json.dumps(plain))
    with pytest.raises(InferenceError) as caught:
        PackedEncoder.open(tmp_path / "8bit")
    assert words in str(caught.value)


def test_the_command_tells_how_near_both_are(tmp_path: Path) -> None:
    folder = write_vit(tmp_path / "vit")
    home = {"WEBINFER_MODELS_DIR": str(tmp_path / "store")}
    given = ["quantize", str(folder), "--name", "digits-8bit"]
    done = CliRunner().invoke(command, [*given, "--bits", "8"], env=home)
    assert done.exception is None, done.exception
    assert "digits-8bit in fp32 and 8bit" in done.stderr + done.stdout
    assert "or more on six images" in done.stdout
    other = write_vit(tmp_path / "deit", model_type="deit")
    unknown = CliRunner().invoke(command, ["quantize", str(other), "--bits", "8"], env=home)
    assert "model_type of config.json is 'deit', but must be one of llama, " in str(unknown.exception)
    assert "or of the encoders bert, distilbert, roberta, xlm-roberta, vit" in str(unknown.exception)
    refused = CliRunner().invoke(command, [*given, "--bits", "4"], env=home)
    assert "--bits is 4, but must be 8, which is what encoders come in" in str(refused.exception)
