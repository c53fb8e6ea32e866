"""LLaVAs and SmolVLMs of one's own: their layout, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from tests.stand_ins.smolvlm import write_smolvlm

LLAVA_FILES = BUILTIN_FOLDER / "digits-llava"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def copy_llava(folder: Path) -> Path:
    shutil.copytree(LLAVA_FILES, folder, ignore=shutil.ignore_patterns("webinfer.json", "4bit", "examples"))
    return folder


def test_a_llava_in_transformers_js_layout_is_taken_in_and_tried(store: ModelStore, tmp_path: Path) -> None:
    model = import_model(copy_llava(tmp_path / "llava"), "own-llava", store=store)
    assert (model.family.name, [str(precision) for precision in model.precisions]) == ("llava", ["fp32"])
    assert set(model.graphs(Precision.FP32)) == {"vision_encoder", "embed_tokens", "decoder_model_merged"}


@pytest.mark.parametrize(("write", "kind"), [(copy_llava, "llava"), (write_smolvlm, "idefics3")])
def test_safetensors_alone_are_refused_with_the_graphs_that_are_needed(
    write: Callable[[Path], Path], kind: str, store: ModelStore, tmp_path: Path
) -> None:
    folder = write(tmp_path / "model")
    shutil.rmtree(folder / "onnx")
    (folder / "model.safetensors").write_bytes(b"")
    graphs = "onnx/vision_encoder.onnx and onnx/embed_tokens.onnx and onnx/decoder_model_merged.onnx"
    how = f"needs {graphs} too, which repositories of the Hub .* have: `webinfer models pull"
    with pytest.raises(BadRequest, match=f"is of type {kind}, in safetensors, .*{how}"):
        import_model(folder, "own-llava", store=store)


def test_a_smolvlm_is_told_by_its_own_name(store: ModelStore, tmp_path: Path) -> None:
    """Its family is called llava, as its files are not."""
    model = import_model(write_smolvlm(tmp_path / "model", model_type="smolvlm"), "own-smolvlm", store=store)
    with pytest.raises(BadInput, match="'own-smolvlm', a model of smolvlm, but must be a model of vision"):
        model.require_family(Family.VISION)


@pytest.mark.parametrize("kind", ["llava_next", "idefics2", "qwen2_vl", "paligemma"])
def test_others_that_look_at_images_are_refused_by_name(kind: str, store: ModelStore, tmp_path: Path) -> None:
    folder = copy_llava(tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": kind, "architectures": ["OtherForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        BadInput, match=f"multimodal models of type {kind} are not served.*one of llava, idefics3, smolvlm"
    ):
        import_model(folder, "other", store=store)
