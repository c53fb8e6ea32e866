"""Hugging Face's image processors that are done here: their defaults, their keys, and how each resizes.

Source: transformers 5.24, models/*/image_processing_pil_*.py: the processors that compute with Pillow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from browser_runtime.models.configuration.fields import ANYTHING, FLAG, NUMBER, Fields, Rule, only
from browser_runtime.models.configuration.sizes import MAX_SIDE, Exact, Shortest, Size, Values
from browser_runtime.models.configuration.tiles import TILED, TILING, TilePlan, read_tiles

Colours = dict[str, list[float] | None]

HALVES: Colours = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET: Colours = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP: Colours = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
# Pillow's numbers of its filters.
NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)
RESAMPLES = (NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING)
# What an image becomes, and which middle part of that is taken before `do_center_crop`.
Resizing = tuple[Size, Exact | None]


def _plain(size: Size, _: Fields, __: Values) -> Resizing:
    return size, None


def _resize_convnext(size: Size, fields: Fields, values: Values) -> Resizing:
    """Below 384 a little larger and then the middle; from 384 on squeezed to a square."""
    if not isinstance(size, Shortest):
        raise fields.refusal("size", "a shortest_edge, the only size that ConvNextImageProcessor takes")
    square = Exact(size.length, size.length)
    if size.length >= 384:
        return square, None
    if values["crop_pct"] is None:
        raise fields.refusal("crop_pct", "given for a shortest_edge below 384")
    return Shortest(int(size.length / values["crop_pct"])), square


def _resize_levit(size: Size, _: Fields, __: Values) -> Resizing:
    return (Shortest(int(256 / 224 * size.length)) if isinstance(size, Shortest) else size), None


def _resize_poolformer(size: Size, _: Fields, values: Values) -> Resizing:
    """Larger by 1 / crop_pct, and then a square counts as a shortest edge."""
    share = values["crop_pct"]
    if share is None:
        return size, None
    if isinstance(size, Shortest):
        return Shortest(int(size.length / share)), None
    if size.height == size.width:
        return Shortest(int(size.height / share)), None
    return Exact(int(size.height / share), int(size.width / share)), None


CROP_PCT = Rule("a number above 0, up to 1", lambda value: type(value) in (int, float) and 0 < value <= 1)


@dataclass(frozen=True)
class ProcessorSpec:
    """One class of image processor."""

    name: str
    size: Any
    resample: int | None
    colours: Colours
    crop_size: Any = None
    crops: bool = False
    """True if it crops to the middle unless the file says otherwise."""
    square: bool = True
    """True if a size of one number means a square; else it is the shortest edge."""
    keys: dict[str, tuple[Rule, Any]] = field(default_factory=dict)
    """Keys that only this class has, with their defaults."""
    lacks: tuple[str, ...] = ()
    """Steps that this class never does, whatever the file says."""
    resize: Callable[[Size, Fields, Values], Resizing] = _plain
    tiles: Callable[[Fields, Values], TilePlan] | None = None
    """How it makes several images of one, all of one size; None for a processor that leaves one."""
    how: str = ""
    """Its resizing in words."""

    @property
    def defaults(self) -> Values:
        """Values of the keys that a file leaves out."""
        return {
            "do_resize": True,
            "size": self.size,
            "default_to_square": self.square,
            "resample": self.resample,
            "do_center_crop": self.crops,
            "crop_size": self.crop_size,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": "do_normalize" not in self.lacks,
            **self.colours,
            **{key: default for key, (_, default) in self.keys.items()},
        }

    @property
    def rules(self) -> dict[str, Rule]:
        """The rule of each key."""
        special = {key: rule for key, (rule, _) in self.keys.items()}
        never = {key: only(False, why=f"{self.name} does not do it") for key in self.lacks}
        return STEPS | INERT | special | never


_ROWS = (
    ProcessorSpec("BeitImageProcessor", 224, BICUBIC, HALVES, crop_size=224),
    ProcessorSpec("BitImageProcessor", 224, BICUBIC, CLIP, crop_size=224, crops=True, square=False),
    ProcessorSpec("CLIPImageProcessor", 224, BICUBIC, CLIP, crop_size=224, crops=True, square=False),
    ProcessorSpec(
        "ConvNextImageProcessor",
        384,
        BICUBIC,
        HALVES,
        square=False,
        keys={"crop_pct": (CROP_PCT, 224 / 256)},
        resize=_resize_convnext,
        how="shortest_edge below 384: resized to shortest_edge / crop_pct, then the middle; else a square",
    ),
    ProcessorSpec("DeiTImageProcessor", 256, BICUBIC, HALVES, crop_size=224, crops=True),
    ProcessorSpec(
        "EfficientNetImageProcessor",
        346,
        BICUBIC,
        HALVES,
        crop_size=289,
        keys={"rescale_offset": (FLAG, False), "include_top": (FLAG, True)},
        how="rescale_offset takes 1 off; include_top divides by image_std once more",
    ),
    ProcessorSpec(
        "Idefics3ImageProcessor",
        {"longest_edge": 4 * 364},
        LANCZOS,
        HALVES,
        keys=TILING,
        lacks=("do_center_crop",),
        tiles=read_tiles,
        how=TILED,
    ),
    ProcessorSpec(
        "LevitImageProcessor",
        224,
        BICUBIC,
        IMAGENET,
        crop_size=224,
        crops=True,
        square=False,
        resize=_resize_levit,
        how="a shortest_edge is taken 256/224 times as long",
    ),
    ProcessorSpec(
        "MobileNetV1ImageProcessor", 256, BILINEAR, HALVES, crop_size=224, crops=True, square=False
    ),
    ProcessorSpec(
        "MobileNetV2ImageProcessor", 256, BILINEAR, HALVES, crop_size=224, crops=True, square=False
    ),
    ProcessorSpec(
        "MobileViTImageProcessor",
        224,
        BICUBIC,
        HALVES,
        crop_size=256,
        crops=True,
        square=False,
        keys={
            "do_flip_channel_order": (FLAG, True),
            # The older name, which today's transformers does not read.
            "do_flip_channels": (only(True, why="do_flip_channel_order counts"), None),
        },
        lacks=("do_normalize",),
        how="do_flip_channel_order gives blue, green, red; never normalised",
    ),
    ProcessorSpec(
        "PoolFormerImageProcessor",
        224,
        BICUBIC,
        IMAGENET,
        crop_size=224,
        crops=True,
        square=False,
        keys={"crop_pct": (CROP_PCT, 0.9)},
        resize=_resize_poolformer,
        how="resized to size / crop_pct",
    ),
    ProcessorSpec("PvtImageProcessor", 224, BICUBIC, IMAGENET),
    ProcessorSpec("SegformerImageProcessor", 512, BILINEAR, IMAGENET, lacks=("do_center_crop",)),
    ProcessorSpec("SiglipImageProcessor", {"height": 224, "width": 224}, BICUBIC, HALVES, square=False),
    ProcessorSpec(
        "SmolVLMImageProcessor",
        {"longest_edge": 4 * 364},
        LANCZOS,
        HALVES,
        keys=TILING | {"video_sampling": (Rule("anything: it concerns videos only", lambda _: True), None)},
        lacks=("do_center_crop",),
        tiles=read_tiles,
        how=TILED,
    ),
    ProcessorSpec("ViTImageProcessor", 224, BILINEAR, HALVES),
)
PROCESSORS = {row.name: row for row in _ROWS}
# For a model of no known type whose file names no processor: it must give every number itself.
UNNAMED = ProcessorSpec("a processor without a name", None, None, {"image_mean": None, "image_std": None})

# By config.json's model_type, for a preprocessor_config.json that names no processor.
# Source: transformers 5.24, models/auto: IMAGE_PROCESSOR_MAPPING_NAMES, of what is served.
PROCESSOR_OF_MODEL = {
    **dict.fromkeys(("beit", "data2vec-vision"), "BeitImageProcessor"),
    **dict.fromkeys(("bit", "dinov2", "focalnet", "hiera"), "BitImageProcessor"),
    **dict.fromkeys(("clip", "metaclip_2"), "CLIPImageProcessor"),
    **dict.fromkeys(("convnext", "convnextv2", "cvt", "regnet", "resnet"), "ConvNextImageProcessor"),
    "deit": "DeiTImageProcessor",
    "efficientnet": "EfficientNetImageProcessor",
    "idefics3": "Idefics3ImageProcessor",
    "levit": "LevitImageProcessor",
    "mobilenet_v1": "MobileNetV1ImageProcessor",
    "mobilenet_v2": "MobileNetV2ImageProcessor",
    **dict.fromkeys(("mobilevit", "mobilevitv2"), "MobileViTImageProcessor"),
    "poolformer": "PoolFormerImageProcessor",
    **dict.fromkeys(("pvt", "pvt_v2"), "PvtImageProcessor"),
    "segformer": "SegformerImageProcessor",
    "siglip": "SiglipImageProcessor",
    "smolvlm": "SmolVLMImageProcessor",
    **dict.fromkeys(("dinat", "ijepa", "swiftformer", "swin", "swinv2"), "ViTImageProcessor"),
    **dict.fromkeys(("vit", "vit_mae", "vit_msn"), "ViTImageProcessor"),
    # Not done here: the names are for the refusal.
    "donut-swin": "DonutImageProcessor",
    "imagegpt": "ImageGPTImageProcessor",
    "perceiver": "PerceiverImageProcessor",
    "pp_lcnet": "PPLCNetImageProcessor",
    "shieldgemma2": "Gemma3ImageProcessor",
    "siglip2": "Siglip2ImageProcessor",
    "textnet": "TextNetImageProcessor",
    "timm_wrapper": "TimmWrapperImageProcessor",
}

SIZES = f"a number, [height, width], {{height, width}} or {{shortest_edge}}, each side from 1 to {MAX_SIDE}"
_SIZE = Rule(SIZES, lambda value: True)  # pixels.read_size knows the forms
_COLOURS = Rule(
    "a number, or one for each channel",
    lambda value: NUMBER.accepts(value) or (isinstance(value, list) and all(map(NUMBER.accepts, value))),
)
# Keys that every processor knows.
STEPS = {
    "do_resize": FLAG,
    "size": _SIZE,
    "default_to_square": FLAG,
    "resample": Rule(
        "0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box or 5 Hamming",
        lambda value: type(value) is int and value in RESAMPLES,
    ),
    "do_center_crop": FLAG,
    "crop_size": _SIZE,
    "do_rescale": FLAG,
    "rescale_factor": NUMBER,
    "do_normalize": FLAG,
    "image_mean": _COLOURS,
    "image_std": _COLOURS,
}
# Keys that change nothing here, or may have one value only.
INERT = {
    "image_processor_type": Rule("one of the processors that are done", lambda _: True),
    "feature_extractor_type": Rule("the older place of it: `...FeatureExtractor`", lambda _: True),
    "processor_class": ANYTHING,
    "_processor_class": ANYTHING,
    # The names of a call's arguments, which transformers 4 wrote into files for a while, and drops since.
    "_valid_processor_keys": ANYTHING,
    "_valid_kwargs_names": ANYTHING,
    "transformers_version": ANYTHING,
    "do_convert_rgb": Rule("true or false: every image is RGB here", FLAG.accepts),
    "do_reduce_labels": Rule("true or false: it concerns maps of segments only", FLAG.accepts),
    "reduce_labels": Rule("true or false: it concerns maps of segments only", FLAG.accepts),
    "num_channels": Rule("1 or 3, as config.json has it", lambda value: value in (1, 3)),
    "do_pad": only(False, why="padding is not done here"),
    "pad_size": Rule("anything: it counts with do_pad only", lambda _: True),
    "data_format": only("channels_first", why="other layouts are not done here"),
    "input_data_format": only("channels_last", why="other layouts are not done here"),
    "device": ANYTHING,
    "return_tensors": ANYTHING,
    "disable_grouping": ANYTHING,
    "image_seq_length": ANYTHING,
}
