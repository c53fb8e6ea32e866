"""From preprocessor_config.json to the plan that an image follows before a graph sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.fields import Fields
from browser_runtime.models.configuration.preprocessors import as_fields
from browser_runtime.models.configuration.processors import (
    NEAREST,
    PROCESSOR_OF_MODEL,
    PROCESSORS,
    SIZES,
    UNNAMED,
    ProcessorSpec,
)
from browser_runtime.models.configuration.sizes import MAX_SIDE, SIDE, Exact, Shortest, Size, Values
from browser_runtime.models.configuration.tiles import TilePlan
from browser_runtime.models.files.json_files import Json

if TYPE_CHECKING:
    import numpy as np

CHANNELS = (1, 3)
# Each step, and the values that it cannot be without.
NEEDS = {
    "do_resize": ("size", "resample"),
    "do_center_crop": ("crop_size",),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
}


@dataclass(frozen=True, slots=True)
class PixelPlan:
    """The steps from an image to the graph's input, which page and simulation follow exactly."""

    channels: int
    """3, or 1 for a model of grey images."""
    size: Exact
    """Of the graph's input: the middle of the resized image, black where it is smaller."""
    resize: Size | None
    """None: images are taken as they are."""
    resample: int
    """Pillow's number of the filter."""
    levels: np.ndarray[Any, np.dtype[np.float32]]
    """[channels, 256]: the number for each byte, rescaled and normalised; zero is what lies outside."""
    flipped: bool
    """The last channel first: blue, green, red."""
    tiles: TilePlan | None = None
    """The cutting before all this, which then does its steps to each tile; None: the image is one."""

    @classmethod
    def of(cls, preprocessor: Any, config: Mapping[str, Any], may_tile: bool = False) -> Self:
        """The plan in the two files. Raises BadInput for what is not done here, by key and value.

        `may_tile`: for a model that takes several images for one.
        """
        import numpy as np

        fields = as_fields(preprocessor)
        processor = find_processor(fields, config)
        if processor.tiles is not None and not may_tile:
            allowed = "one that makes one image of each: this model takes no tiles"
            raise BadInput(f"image_processor_type of {fields.file}", repr(processor.name), allowed)
        fields.hold_to(processor.rules, processor.name)
        values = {key: fields.given(key, default) for key, default in processor.defaults.items()}
        _require_values(fields, values)
        channels = _read_channels(fields, config, (3,) if processor.tiles else CHANNELS)
        tiles = None if processor.tiles is None else processor.tiles(fields, values)
        resize, size = (
            _read_sizes(fields, values, processor) if tiles is None else (None, Exact(tiles.edge, tiles.edge))
        )
        return cls(
            channels=channels,
            size=size,
            resize=resize,
            resample=values["resample"] or NEAREST,
            levels=np.stack([_levels(fields, values, channel, channels) for channel in range(channels)]),
            flipped=bool(values.get("do_flip_channel_order")) and channels == 3,
            tiles=tiles,
        )

    def resized(self, height: int, width: int) -> Exact:
        """The size that an image of these sides is given, before the middle is taken."""
        if self.resize is None:
            return Exact(height, width)
        if isinstance(self.resize, Exact):
            return self.resize
        # The longer side is cut to an integer, as transformers' get_resize_output_image_size does.
        short = self.resize.length
        longest = int(short * max(height, width) / min(height, width))
        return Exact(short, longest) if height < width else Exact(longest, short)

    def to_page(self) -> Json:
        """Plain values and arrays, as `families/images/pixels.js` takes them."""
        return {
            "channels": self.channels,
            "height": self.size.height,
            "width": self.size.width,
            "resize": _to_page(self.resize),
            "resample": self.resample,
            "levels": self.levels,
            "flipped": self.flipped,
            "tiles": None if self.tiles is None else asdict(self.tiles),
        }


def _require_values(fields: Fields, values: Values) -> None:
    """Raises BadInput for a null that a step needs; a step that is null itself is not done."""
    for step, needed in NEEDS.items():
        for key in needed if values[step] else ():
            if values[key] is None:
                raise fields.refusal(key, f"given, as {step} needs it")


def find_processor(fields: Fields, config: Mapping[str, Any]) -> ProcessorSpec:
    """The class of image processor that transformers would choose. Raises BadInput for one not done here."""
    given = fields.get("image_processor_type", fields.get("feature_extractor_type"))
    given = config.get("image_processor_type") if given is None else given
    if given is None:
        given = PROCESSOR_OF_MODEL.get(str(config.get("model_type")))
    if given is None:
        return UNNAMED
    name = str(given).replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
    if name not in PROCESSORS:
        allowed = f"one of {', '.join(PROCESSORS)}"
        raise BadInput(f"image_processor_type of {fields.file}", repr(given), allowed)
    return PROCESSORS[name]


def _read_channels(fields: Fields, config: Mapping[str, Any], allowed: tuple[int, ...]) -> int:
    """config.json's num_channels, where CLIP and its like keep it too."""
    inner = config.get("vision_config")
    given = config.get("num_channels") or (inner.get("num_channels") if isinstance(inner, dict) else None)
    channels = 3 if given is None else given
    if type(channels) is not int or channels not in allowed:
        raise BadInput("num_channels of config.json", repr(given), " or ".join(map(str, allowed)))
    if fields.get("num_channels", channels) != channels:
        raise fields.refusal("num_channels", f"{channels}, as config.json has it")
    return int(channels)


def _read_sizes(fields: Fields, values: Values, processor: ProcessorSpec) -> tuple[Size | None, Exact]:
    """The resizing, and the one size that the graph gets. Raises BadInput if there is no such size."""
    resize, middle = None, None
    if values["do_resize"]:
        asked = read_size(fields, "size", values["size"], values["default_to_square"])
        resize, middle = processor.resize(asked, fields, values)
        _require_small(fields, resize)
    if values["do_center_crop"]:
        cropped = read_size(fields, "crop_size", values["crop_size"], square=True)
        if not isinstance(cropped, Exact) or middle not in (None, cropped):
            raise fields.refusal("crop_size", "a height and a width, and no crop of a crop")
        middle = cropped
    if middle is None and isinstance(resize, Exact):
        middle = resize
    if middle is None:
        lacks = "do_resize" if resize is None else "size"
        raise fields.refusal(
            lacks, "such that all images become one size: a height and width, or do_center_crop"
        )
    return resize, middle


def _require_small(fields: Fields, size: Size) -> None:
    sides = (size.length,) if isinstance(size, Shortest) else (size.height, size.width)
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise fields.refusal("size", SIZES)


def read_size(fields: Fields, key: str, size: Any, square: bool) -> Size:
    """The size in any of its forms. Raises BadInput for a form that is not done here."""
    if SIDE.accepts(size):
        return Exact(size, size) if square else Shortest(size)
    if isinstance(size, list) and len(size) == 2 and all(map(SIDE.accepts, size)):
        return Exact(*size)
    sides = {name: side for name, side in size.items() if side is not None} if isinstance(size, dict) else {}
    if all(map(SIDE.accepts, sides.values())):
        if set(sides) == {"height", "width"}:
            return Exact(sides["height"], sides["width"])
        if set(sides) == {"shortest_edge"}:
            return Shortest(sides["shortest_edge"])
    raise fields.refusal(key, SIZES)


def _levels(
    fields: Fields, values: Values, channel: int, channels: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The number for each byte of a channel, in transformers' order and precision."""
    import numpy as np

    levels = np.arange(256, dtype=np.float64)
    if values["do_rescale"]:
        levels = levels * values["rescale_factor"]
    numbers = levels.astype(np.float32)
    if values["do_rescale"] and values.get("rescale_offset"):
        numbers -= np.float32(1)
    if values["do_normalize"]:
        numbers -= _colour(fields, values, "image_mean", channel, channels)
        numbers /= _colour(fields, values, "image_std", channel, channels)
    if values.get("include_top"):
        numbers /= _colour(fields, values, "image_std", channel, channels)
    return numbers


def _colour(fields: Fields, values: Values, key: str, channel: int, channels: int) -> np.float32:
    import numpy as np

    value = values[key]
    if isinstance(value, list) and len(value) != channels:
        raise fields.refusal(key, f"a number, or {channels} of them: one for each channel")
    number = np.float32(value[channel] if isinstance(value, list) else value)
    if key == "image_std" and number == 0:
        raise fields.refusal(key, "above 0: images are divided by it")
    return number


def _to_page(size: Size | None) -> dict[str, int] | None:
    if size is None:
        return None
    if isinstance(size, Shortest):
        return {"shortest": size.length}
    return {"height": size.height, "width": size.width}
