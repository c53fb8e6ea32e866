"""From config.json to how texts are compared with images or sounds: CLIP, SigLIP, CLAP.

Source: transformers 5.24, models/{clip,siglip,clap}/modeling_*.py (the whole model's `forward`);
models/siglip/processing_siglip.py (texts padded to the model's length).
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
# Where a CLAP's training begins: 1 / 0.07, as ClapConfig has it.
CLAP_START = 1 / 0.07
POSITIONS = {"clip": 77, "siglip": 64, "clap": 514}
MAX_POSITIONS = 4096


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """Scores of texts for an image or a sound: `scale * cosine + bias`, through a softmax or a sigmoid."""

    scale: float | None
    """None: the files do not tell, so no scores can be had."""
    bias: float
    function: str
    """softmax over an image's texts, or sigmoid of each."""
    max_tokens: int
    pads_fully: bool
    """Texts are padded to `max_tokens`, and the padding is read: SigLIP's way."""
    is_assumed: bool = False
    """The scale is not the files' own."""
    doubt: str = ""
    """The warning of a scale that is assumed."""

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
        assumed, doubt = (None, "") if scale is not None else _assume(kind, found)
        positions = texts.read("max_position_embeddings", POSITIONS[kind], whole(MAX_POSITIONS))
        return cls(
            scale=assumed if scale is None else scale,
            bias=found.read("logit_bias", 0.0, NUMBER),
            function="sigmoid" if kind == "siglip" else "softmax",
            max_tokens=positions - _first_position(texts) if kind == "clap" else positions,
            pads_fully=kind == "siglip",
            is_assumed=assumed is not None,
            doubt=doubt,
        )

    def to_page(self) -> Json:
        """Plain values for `families/towers/comparer.js`."""
        return {
            "scale": self.scale,
            "bias": self.bias,
            "function": self.function,
            "max_tokens": self.max_tokens,
            "pads_fully": self.pads_fully,
        }


def _assume(kind: str, config: Fields) -> tuple[float | None, str]:
    """The scale of a model whose files tell none, and its warning; None where it cannot be guessed."""
    untold = "config.json tells no logit_scale"
    if kind == "clip":
        return CLIP_CEILING, f"{untold}: {CLIP_CEILING}, that of published CLIPs, was taken"
    if kind == "clap":
        start = config.read("logit_scale_init_value", CLAP_START, NUMBER)
        why = "the labels' order is right, and their probabilities are not exact"
        return start, f"{untold}: {start:.4g}, at which training began, was taken, so {why}"
    return None, ""


def _first_position(texts: Fields) -> int:
    """The position of a text's first token in a RoBERTa: the one behind the padding token's."""
    return int(texts.read("pad_token_id", 1, whole(MAX_POSITIONS, 0))) + 1
