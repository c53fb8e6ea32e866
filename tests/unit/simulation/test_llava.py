"""LLaVA without a browser: prompts as transformers' LlavaProcessor writes them, and its greedy tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.families.llava import PicturedPrompt, PicturingProcessor
from browser_runtime.models.configuration.pictures import PicturePlan, decoder_config
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.simulation.runners import reference

FOLDER = BUILTIN_FOLDER / "digits-llava"
STORED = json.loads((Path(__file__).parents[1] / "data/digits_llava.json").read_text())
GREY = np.zeros((8, 8, 3), np.uint8)


def items() -> list[dict[str, Any]]:
    def picture(digit: str) -> Any:
        return np.asarray(Image.open(FOLDER / f"examples/{digit}.png").convert("RGB"))

    return [
        {"images": [picture(digit) for digit in row["pictures"]], "messages": row["messages"]}
        for row in STORED
    ]


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BITS_4])
def test_the_tokens_are_those_of_transformers(tmp_path: Path, precision: Precision) -> None:
    model = ModelStore(tmp_path).ensure("digits-llava")
    outputs = reference(model, Family.MULTIMODAL, items(), precision=precision)
    assert [(out["tokens"], out["text"]) for out in outputs] == [(r["tokens"], r["text"]) for r in STORED]
    assert [out["image_tokens"] for out in outputs] == [65 * len(row["pictures"]) for row in STORED]


def test_the_ids_are_those_of_the_processor() -> None:
    processor = PicturingProcessor(FOLDER)
    for row, item in zip(STORED, items(), strict=True):
        (prompt,) = processor.encode([item], ["images[0]"], {})
        assert isinstance(prompt, PicturedPrompt)
        assert prompt.ids.tolist() == row["ids"]
        assert all(prompt.ids[start] == processor.plan.token_id for start in prompt.starts)


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (GREY, "an image alone"),
        ({"images": [GREY], "prompt": "What?"}, "1 images for 0 places of <image>"),
        ({"images": [], "prompt": "<image> What?"}, "0 images for 1 places of <image>"),
        ({"images": [GREY], "texts": ["Is <image> it?"]}, "1 images for 2 places"),
        ({"image": GREY, "texts": ["a", "b"]}, "2 texts"),
    ],
)
def test_what_cannot_be_asked_is_refused(item: Any, problem: str) -> None:
    (found,) = PicturingProcessor(FOLDER).encode([item], ["images[0]"], {})
    assert isinstance(found, BadInput)
    assert problem in str(found)


def plan(config: dict[str, Any], processor: dict[str, Any] | None = None, side: int = 336) -> PicturePlan:
    pixels = PixelPlan.of({"image_processor_type": "ViTImageProcessor", "size": side}, config)
    return PicturePlan.of({"model_type": "llava", **config}, processor or {}, pixels)


def test_tokens_of_an_image_are_counted_as_transformers_does() -> None:
    """llava-1.5: 336 pixels in patches of 14, the class token dropped; llava-interleave: SigLIP, all kept."""
    clip = {"vision_config": {"model_type": "clip_vision_model", "patch_size": 14}}
    assert plan(clip).tokens_per_tile == 576
    assert plan(clip | {"vision_feature_select_strategy": "full"}).tokens_per_tile == 577
    siglip = {"vision_config": {"model_type": "siglip_vision_model", "patch_size": 14}}
    full = {"vision_feature_select_strategy": "full", "vision_feature_layer": -1}
    assert plan(siglip | full, side=384).tokens_per_tile == 729
    assert plan(clip, {"num_additional_image_tokens": 0}).tokens_per_tile == 575
    assert plan(clip | {"vision_feature_layer": [-2, -5]}).tokens_per_tile == 576


@pytest.mark.parametrize(
    ("config", "processor", "problem"),
    [
        ({"model_type": "llava_next"}, {}, "multimodal models of type llava_next are not served"),
        ({"model_type": "idefics3"}, {}, "one without tiles, but must be as models of type idefics3"),
        ({"vision_config": {"model_type": "pixtral"}}, {}, "'pixtral', but must be one of clip_vision_model"),
        ({"vision_feature_select_strategy": "cls"}, {}, "'cls', but must be default"),
        ({"vision_feature_layer": "last"}, {}, "'last', but must be a whole number, or a list"),
        ({}, {"vision_feature_select_strategy": "full"}, "'full', but must be 'default'"),
        ({}, {"patch_size": 16}, "16, but must be 32"),
    ],
)
def test_files_that_ask_for_something_else_are_refused(
    config: dict[str, Any], processor: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        plan(config, processor)


def test_a_nested_configuration_may_leave_its_sizes_out() -> None:
    found = decoder_config({"text_config": {"vocab_size": 32_064, "num_beams": 1, "rms_norm_eps": 1e-5}})
    assert (found["hidden_size"], found["vocab_size"], "num_beams" in found) == (4096, 32_064, False)


def test_a_template_of_texts_alone_gets_the_placeholders(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ' ' }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    processor = PicturingProcessor(folder)
    (prompt,) = processor.encode([{"images": [GREY], "texts": ["Is it even?"]}], ["images[0]"], {})
    text = processor.tokenizer.decode(prompt.ids.tolist(), skip_special_tokens=False)
    assert text == "user: " + "<image>" * 65 + "\nIs it even? "
