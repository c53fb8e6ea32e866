"""From config.json to how texts and images are compared, as transformers' CLIP and SigLIP do it.

Source: transformers 5.24, models/clip/modeling_clip.py, models/siglip/modeling_siglip.py (the whole model's
`forward`), models/siglip/processing_siglip.py (texts padded to the model's length).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.fields import NUMBER, Fields, whole
from browser_runtime.models.files.json_files import Json

# CLIP's training holds the scale below 100, and every published CLIP has reached it.
CLIP_CEILING = 100.0
POSITIONS = {"clip": 77, "siglip": 64}
MAX_POSITIONS = 4096


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """Scores of texts for an image: `scale * cosine + bias`, through a softmax or a sigmoid."""

    scale: float | None
    """None: the files do not tell, so no scores can be had."""
    bias: float
    function: str
    """softmax over an image's texts, or sigmoid of each."""
    max_tokens: int
    pads_fully: bool
    """Texts are padded to `max_tokens`, and the padding is read: SigLIP's way."""
    is_assumed: bool = False
    """The scale is that of all published CLIPs, not the files' own."""

    @classmethod
    def of(cls, config: Mapping[str, Any], settings: Mapping[str, Any]) -> Self:
        """The plan in config.json and the manifest's settings. Raises BadInput."""
        kind = config.get("model_type")
        if kind not in POSITIONS:
            raise BadInput("model_type of config.json", repr(kind), f"one of {', '.join(POSITIONS)}")
        inner = config.get("text_config")
        texts = Fields("text_config of config.json", {} if inner is None else inner)
        found = Fields("config.json", {**config, **settings})
        scale = found.read("logit_scale", None, NUMBER)
        is_assumed = scale is None and kind == "clip"
        return cls(
            scale=CLIP_CEILING if is_assumed else scale,
            bias=found.read("logit_bias", 0.0, NUMBER),
            function="sigmoid" if kind == "siglip" else "softmax",
            max_tokens=texts.read("max_position_embeddings", POSITIONS[kind], whole(MAX_POSITIONS)),
            pads_fully=kind == "siglip",
            is_assumed=is_assumed,
        )

    def to_page(self) -> Json:
        """Plain values for `families/clip.js`."""
        return {
            "scale": self.scale,
            "bias": self.bias,
            "function": self.function,
            "max_tokens": self.max_tokens,
            "pads_fully": self.pads_fully,
        }
