"""SmolVLM without a browser: prompts as transformers' Idefics3Processor writes them, and greedy tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.llava import PicturedPrompt, PicturingProcessor
from browser_runtime.models.configuration.pictures import PicturePlan
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation.runners import reference
from tests.stand_ins.smolvlm import ANSWERS, TOKENS_PER_TILE, change_json, draw, write_smolvlm

GREEDY = {"temperature": 0.0, "max_new_tokens": 12}


def rows_of(splits: bool) -> list[dict[str, Any]]:
    return [row for row in ANSWERS if row["splits"] is splits]


def item_of(row: dict[str, Any]) -> dict[str, Any]:
    return {"images": [draw(*size) for size in row["images"]], "messages": row["messages"]}


@pytest.mark.parametrize("splits", [True, False])
def test_the_ids_are_those_of_the_processor(tmp_path: Path, splits: bool) -> None:
    processor = PicturingProcessor(write_smolvlm(tmp_path / "model", splits))
    for row in rows_of(splits):
        (prompt,) = processor.encode([item_of(row)], ["images[0]"], {})
        assert isinstance(prompt, PicturedPrompt)
        assert prompt.ids.tolist() == row["ids"]
        assert len(prompt.starts) == row["n_tiles"]
        assert prompt.counts == {"image_tokens": row["n_tiles"] * TOKENS_PER_TILE}


@pytest.mark.parametrize(("splits", "model_type"), [(True, "idefics3"), (False, "smolvlm")])
def test_the_tokens_are_those_of_transformers(tmp_path: Path, splits: bool, model_type: str) -> None:
    store = ModelStore(tmp_path / "models")
    model = import_model(write_smolvlm(tmp_path / "model", splits, model_type), "tiny-smolvlm", store=store)
    rows = rows_of(splits)
    outputs = reference(model, Family.MULTIMODAL, [item_of(row) for row in rows], GREEDY)
    assert [(out["tokens"], out["text"]) for out in outputs] == [(row["tokens"], row["text"]) for row in rows]
    assert [out["image_tokens"] for out in outputs] == [row["n_tiles"] * TOKENS_PER_TILE for row in rows]


def test_an_image_of_more_tiles_than_the_model_has_room_for_is_refused(tmp_path: Path) -> None:
    folder = write_smolvlm(tmp_path / "model")
    change_json(folder / "preprocessor_config.json", do_resize=False)
    asked = {"images": [draw(200, 200)], "prompt": "<image> What?"}
    (found,) = PicturingProcessor(folder).encode([asked], ["images[0]"], {})
    assert isinstance(found, BadInput)
    assert "680 tokens of images, but must be at most 511 tokens" in str(found)


def test_an_image_too_thin_for_a_tile_is_refused(tmp_path: Path) -> None:
    """Its width, 49 * (1 / 49) cut to an integer, is none; transformers fails on it."""
    folder = write_smolvlm(tmp_path / "model")
    change_json(folder / "preprocessor_config.json", do_resize=False, max_image_size={"longest_edge": 49})
    change_json(folder / "processor_config.json", image_seq_len=36)
    asked = {"images": [np.zeros((49, 1, 3), np.uint8)], "prompt": "<image> What?"}
    (found,) = PicturingProcessor(folder).encode([asked], ["images[0]"], {})
    assert isinstance(found, BadInput)
    assert "images[0].images[0] is of 49 x 1 pixels" in str(found)


def plan(edge: int, seq_len: int, processor: str = "Idefics3ImageProcessor", **config: Any) -> PicturePlan:
    asked = {"model_type": "idefics3"} | config
    pixels = PixelPlan.of(
        {"image_processor_type": processor, "max_image_size": {"longest_edge": edge}}, asked, may_tile=True
    )
    return PicturePlan.of(asked, {"image_seq_len": seq_len}, pixels)


def test_tokens_of_a_tile_are_counted_as_transformers_does() -> None:
    """SmolVLM of 256M and 500M, of 2.2B, and Idefics3-8B."""
    small = plan(512, 64, vision_config={"patch_size": 16, "model_type": "idefics3"}, scale_factor=4)
    middle = plan(384, 81, vision_config={"patch_size": 14}, scale_factor=3)
    large = plan(364, 169, vision_config={"patch_size": 14, "model_type": "idefics3_vision"})
    assert [each.tokens_per_tile for each in (small, middle, large)] == [64, 81, 169]
    assert small.details == {"tokens_per_tile": 64}
    assert (small.token_id, plan(364, 169, image_token_id=7, vision_config={"patch_size": 14}).token_id) == (
        128_257,
        7,
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"seq_len": 81}, r"image_seq_len of processor_config.json is 81, but must be 64"),
        ({"scale_factor": 3}, r"scale_factor of config.json is 3, but must be a divisor of the 32 patches"),
        (
            {"vision_config": {"model_type": "siglip", "patch_size": 16}},
            "'siglip', but must be one of idefics3",
        ),
        ({"vision_config": {"num_channels": 1, "patch_size": 16}}, "num_channels of config.json is 1"),
        ({"model_type": "llava"}, "one with tiles, but must be as models of type llava need it: without"),
    ],
)
def test_files_that_ask_for_something_else_are_refused(changes: dict[str, Any], problem: str) -> None:
    usual: dict[str, Any] = {
        "edge": 512,
        "seq_len": 64,
        "scale_factor": 4,
        "vision_config": {"patch_size": 16},
    }
    with pytest.raises(BadInput, match=problem):
        plan(**usual | changes)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"size": {"height": 32, "width": 32}}, "size of .* but must be {'longest_edge': 1 to 4096}"),
        ({"max_image_size": 16}, "max_image_size of .* is 16, but must be {'longest_edge'"),
        ({"do_center_crop": True}, "Idefics3ImageProcessor does not do it"),
        ({"resample": None}, "resample of .* but must be given"),
        ({"max_tiles": 4}, "max_tiles of preprocessor_config.json is 4, but must be left out"),
    ],
)
def test_tiles_that_are_cut_otherwise_are_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        PixelPlan.of({"image_processor_type": "Idefics3ImageProcessor", **keys}, {}, may_tile=True)


def test_tiles_are_for_models_that_take_several_images_for_one() -> None:
    with pytest.raises(BadInput, match="'SmolVLMImageProcessor', but must be one that makes one image"):
        PixelPlan.of({"image_processor_type": "SmolVLMImageProcessor"}, {})
