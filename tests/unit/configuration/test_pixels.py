"""Image processors: what transformers makes of images, by 60 configurations; what is refused, by name."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.configuration.processors import PROCESSORS
from browser_runtime.simulation.resampling import Region, resize, resize_region
from browser_runtime.simulation.vision import cut_tiles, prepare_pixels

# Made by transformers itself: tests/page/fixtures/make_pixel_values.py.
STORED = json.loads((Path(__file__).parents[2] / "page/fixtures/pixel_values.json").read_text())
VIT = {"image_processor_type": "ViTImageProcessor", "size": 8}
CONVNEXT = {"image_processor_type": "ConvNextImageProcessor"}


def decode(text: str, *shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


IMAGES = [decode(image["data"], image["height"], image["width"], 3) for image in STORED["images"]]


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: json.dumps(case["preprocessor"])[1:80])
def test_values_are_those_of_transformers(case: dict[str, Any]) -> None:
    plan = PixelPlan.of(case["preprocessor"], case["config"], may_tile=True)
    for image, output in zip(IMAGES, case["outputs"], strict=True):
        values = np.stack([prepare_pixels(tile, plan) for tile in cut_tiles(image, plan)])
        if "values" in output:
            np.testing.assert_array_equal(values.ravel(), decode(output["values"], -1, dtype=np.float32))
        else:
            assert hashlib.sha256(values.tobytes()).hexdigest() == output["sha256"]


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: json.dumps(case["preprocessor"])[1:80])
def test_the_page_is_told_what_the_fixture_holds(case: dict[str, Any]) -> None:
    told = PixelPlan.of(case["preprocessor"], case["config"], may_tile=True).to_page()
    levels = decode(STORED["levels"][case["plan"]["levels"]], -1, 256, dtype=np.float32)
    np.testing.assert_array_equal(told.pop("levels"), levels)
    assert told == {key: value for key, value in case["plan"].items() if key != "levels"}


def test_every_processor_is_held_to_transformers() -> None:
    told = {case["preprocessor"].get("image_processor_type") for case in STORED["cases"]}
    assert told >= set(PROCESSORS)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"do_pad": True},
            r"do_pad of preprocessor_config\.json is True, but must be left out or False: padding",
        ),
        (
            {"do_thumbnail": True},
            r"do_thumbnail of .* is True, but must be left out: it is not understood in ViT",
        ),
        (
            {"do_resise": True},
            r"do_resise .* not understood in ViTImageProcessor \(did you mean 'do_resize'\?\)",
        ),
        (
            {"crop_pct": 0.9},
            r"crop_pct of .* is 0\.9, but must be left out: it is not understood in ViTImage",
        ),
        ({"rescale_offset": True}, "rescale_offset of .* is True, but must be left out"),
        ({"size": {"longest_edge": 4}}, r"size of .* is {'longest_edge': 4}, but must be a number, \[height"),
        ({"size": {"shortest_edge": 4, "longest_edge": 8}}, "longest_edge"),
        ({"size": {"shortest_edge": 4}}, "size of .* such that all images become one size"),
        ({"size": {"height": 8, "width": 10**9}}, "each side from 1 to 4096"),
        ({"size": {"height": 8, "width": 2.5}}, "each side from 1 to 4096"),
        ({"size": None}, "size of .* is missing, but must be given, as do_resize needs it"),
        ({"do_resize": False}, "do_resize of .* is False, but must be such that all images"),
        ({"do_resize": "yes"}, "do_resize of .* is 'yes', but must be true or false"),
        ({"do_center_crop": True, "crop_size": {"shortest_edge": 4}}, "crop_size of .* a height and a width"),
        ({"resample": 6}, "resample of .* is 6, but must be 0 nearest, 1 Lanczos"),
        ({"resample": True}, "resample of .* is True"),
        ({"rescale_factor": "1/255"}, "rescale_factor of .* is '1/255', but must be a finite number"),
        ({"image_mean": [0.5]}, "image_mean of .* is .0.5., but must be a number, or 3 of them"),
        ({"image_std": [0.5, 0.5, 0]}, "image_std of .* above 0"),
        ({"image_mean": None}, "image_mean of .* is missing, but must be given, as do_normalize needs it"),
        ({"num_channels": 1}, "num_channels of preprocessor.* is 1, but must be 3, as config.json has it"),
        ({"data_format": "channels_last"}, "data_format of .* other layouts are not done here"),
        (
            {"image_processor_type": "ImageGPTImageProcessor"},
            "'ImageGPTImageProcessor', but must be one of Beit",
        ),
        (
            {"image_processor_type": None},
            "resample of .* is missing, but must be given, as do_resize needs it",
        ),
        (CONVNEXT | {"size": {"height": 9, "width": 9}}, "the only size that ConvNextImageProcessor takes"),
        (CONVNEXT | {"crop_pct": 0}, "crop_pct of .* is 0, but must be a number above 0, up to 1"),
        (CONVNEXT | {"size": 9, "do_center_crop": True, "crop_size": 5}, "no crop of a crop"),
        (
            CONVNEXT | {"size": 380, "crop_pct": 0.01},
            "each side",
        ),
        (
            {"image_processor_type": "MobileViTImageProcessor", "do_normalize": True},
            "MobileViT.* does not do it",
        ),
        ({"image_processor_type": "SegformerImageProcessor", "do_center_crop": True}, "does not do it"),
    ],
)
def test_what_is_not_done_is_refused_by_name(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        PixelPlan.of(VIT | keys, {"model_type": "unheard-of"})


@pytest.mark.parametrize(
    "keys",
    [
        # As transformers 4.40 saved a ViT, and as 4.50 saved a fast one.
        {"_valid_processor_keys": ["images", "do_resize", "size", "data_format"], "do_convert_rgb": None},
        {"_valid_kwargs_names": ["do_resize"], "device": None, "size_divisor": None, "do_pad": None},
        {"crop_pct": None, "unheard_of": None},
    ],
)
def test_what_versions_of_transformers_keep_in_their_files_changes_nothing(keys: dict[str, Any]) -> None:
    plain, kept = (PixelPlan.of(VIT | more, {"model_type": "vit"}).to_page() for more in ({}, keys))
    np.testing.assert_equal(kept, plain)


@pytest.mark.parametrize("channels", [2, 4, "3", True])
def test_other_channels_are_refused(channels: Any) -> None:
    with pytest.raises(BadInput, match=r"num_channels of config\.json is .*, but must be 1 or 3"):
        PixelPlan.of(VIT, {"num_channels": channels})


def test_a_model_type_stands_for_its_processor() -> None:
    with pytest.raises(
        BadInput, match=r"image_processor_type of .* is 'ImageGPTImageProcessor', but must be one of"
    ):
        PixelPlan.of({"size": 8}, {"model_type": "imagegpt"})
    whole = {"size": 8, "resample": 2, "image_mean": 0.5, "image_std": 0.5}
    assert PixelPlan.of(whole, {"model_type": "my-own"}).size.width == 8


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(BadInput, match=r"preprocessor_config\.json is \[1\], but must be a JSON object"):
        PixelPlan.of([1], {})


@given(st.data(), st.integers(0, 5))
def test_a_region_is_part_of_the_whole(data: st.DataObject, resample: int) -> None:
    side = st.integers(1, 40)
    shape, height, width = (
        (data.draw(side), data.draw(side), data.draw(st.sampled_from((1, 3)))),
        *data.draw(st.tuples(side, side)),
    )
    pixels = np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = Region(
        top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    )
    found = resize_region(pixels, height, width, resample, region)
    np.testing.assert_array_equal(found, resize(pixels, height, width, resample, region))


def test_an_extreme_image_costs_what_the_model_sees() -> None:
    plan = PixelPlan.of({"image_processor_type": "CLIPImageProcessor", "size": 224, "crop_size": 224}, {})
    wide = np.random.default_rng(5).integers(0, 256, (2, 30_000, 3)).astype(np.uint8)
    assert plan.resized(2, 30_000).width == 3_360_000
    # The middle two pixels of a wide image are the middle of the small image that they make alone.
    np.testing.assert_array_equal(
        prepare_pixels(wide, plan)[:, :, 112], prepare_pixels(wide[:, 14_900:15_100], plan)[:, :, 112]
    )
    assert prepare_pixels(wide.transpose(1, 0, 2), plan).shape == (3, 224, 224)
