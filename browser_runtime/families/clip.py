"""Images and texts in one space, as CLIP has them: embeddings of either, and scores of texts for an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import BadInput, BadOutput
from browser_runtime.families.processor import Options, Output, Plain, Processor
from browser_runtime.families.vision import Pixels, draw_sample, read_picture
from browser_runtime.models.configuration.comparison import ComparisonPlan
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.files.json_files import Json, read_object
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.tokenizer import TextTokenizer
from browser_runtime.texts.tokens import Tokens

# transformers' ZeroShotImageClassificationPipeline.
TEMPLATE = "This is a photo of {}."
# A text of 16 tokens through CLIP's text encoder, in images of 224 pixels through ViT-base.
WORK_OF_A_TEXT = 0.1


@dataclass(frozen=True, slots=True)
class Comparison:
    """An item: an image, texts by the names that scores give them, or both."""

    image: Pixels | None
    texts: dict[str, Tokens] | None

    @property
    def nbytes(self) -> int:
        """Bytes in a frame."""
        tokens = sum(each.nbytes for each in (self.texts or {}).values())
        return tokens + (0 if self.image is None else self.image.nbytes)

    def to_wire(self) -> dict[str, object]:
        """Plain values and arrays, as the page takes them."""
        texts = None
        if self.texts is not None:
            texts = [{"name": name, "tokens": tokens.to_wire()} for name, tokens in self.texts.items()]
        return {"image": self.image, "texts": texts}


class ComparingProcessor(Processor):
    """The pixel plan of a model, its tokenizer, and how it compares."""

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's JSON files and opens its tokenizer. Raises BadInput, BadRequest."""
        config = read_object(folder / "config.json")
        self._model = model
        self.pixels = PixelPlan.of(read_object(folder / "preprocessor_config.json"), config)
        self.plan = ComparisonPlan.of(config, {} if model is None else model.settings)
        self._tokenizer = TextTokenizer(folder, self.plan.max_tokens)

    @classmethod
    def check(cls, folder: Path) -> None:
        """Returns if the files ask only for what is done here. Raises BadInput, BadRequest."""
        cls(folder)

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput or BadRequest."""
        return cls(model.folder, model)

    @property
    def pad_id(self) -> int:
        """The token that shorter texts are padded with."""
        return self._tokenizer.pad_id

    @property
    def settings(self) -> Json:
        """The pixel plan, the comparison, padding, and what a usual item is run with."""
        (sample,) = self.encode([draw_sample()], ["sample"], {"candidate_labels": ["a cat", "a dog"]})
        assert isinstance(sample, Comparison)
        return {
            "pixels": self.pixels.to_page(),
            "comparison": self.plan.to_page(),
            "pad_id": self.pad_id,
            "sample": {"image": None, "texts": sample.to_wire()["texts"]},
            "example": dict(self.choose({})),
            "details": self.describe(),
        }

    def choose(self, options: Options) -> Plain:
        """The number of labels, null for all, and whether embeddings get the length 1."""
        return {"top_k": options.get("top_k"), "normalize": bool(options.get("normalize"))}

    def encode(
        self, items: Sequence[Any], fields: Sequence[str], options: Options
    ) -> list[Comparison | BadInput]:
        """Each item with its texts as tokens; a BadInput in the place of one that cannot be compared.

        Raises BadInput for a template without a place for the label.
        """
        labels = _fill_template(options)
        return [self._encode(item, field, labels) for item, field in zip(items, fields, strict=True)]

    def _encode(self, item: Any, field: str, labels: dict[str, str] | None) -> Comparison | BadInput:
        is_array = isinstance(item, np.ndarray)
        image = item if is_array else item.get("image") if isinstance(item, dict) else None
        texts = labels
        if isinstance(item, dict) and item.get("texts"):
            if labels is not None:
                return BadInput(field, "holding texts", "an image alone where candidate_labels are given")
            texts = dict(zip(item["texts"], item["texts"], strict=True))
        if image is None and texts is None:
            return BadInput(field, f"of type {type(item).__name__}", "an image, texts, or both")
        if image is None and len(texts or {}) > 1:
            return BadInput(field, f"{len(texts or {})} texts without an image", "one text, or an image too")
        if image is not None and texts is not None and self.plan.scale is None:
            return self._without_scale(field)
        if texts is None:
            return Comparison(image, None)
        tokens = self._tokenizer.encode(list(texts.values()))
        return Comparison(image, dict(zip(texts, tokens, strict=True)))

    def _without_scale(self, field: str) -> BadInput:
        name = "the model" if self._model is None else repr(self._model.name)
        return BadInput(
            field, "an image with texts", f"one of both: the files of {name} tell no logit_scale for scores"
        )

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters of all texts."""
        texts = (item["texts"] for item in items if isinstance(item, dict) and item.get("texts"))
        return sum(len(text) for each in texts for text in each)

    def estimate_work(self, item: Comparison, options: Options) -> float:
        """Images, and texts as parts of one."""
        return (item.image is not None) + WORK_OF_A_TEXT * len(item.texts or {})

    def describe(self) -> Plain:
        """Details that matter when scores are compared."""
        plan = self.plan
        return {"logit_scale": plan.scale, "function": plan.function, "warnings": self.warnings()}

    def warnings(self) -> list[str]:
        """A doubt about the scale."""
        assumed = f"config.json tells no logit_scale: {self.plan.scale}, that of published CLIPs, was taken"
        return [assumed] * self.plan.is_assumed

    def finish(self, output: Output) -> Output:
        """The output as it is. Raises BadOutput for an embedding of zeros."""
        if not np.any(output["embedding"]):
            raise BadOutput("the embedding is all zeros")
        return output

    def sample_items(self) -> list[Any]:
        """An image with every grey level in it, and a text."""
        return [draw_sample(), {"texts": ["a photo of a cat"]}]

    def read_example(self, path_or_text: str) -> Pixels:
        """The pixels of an image file: uint8 [height, width, 3]."""
        assert self._model is not None, "examples belong to a stored model"
        return read_picture(self._model, path_or_text)


def _fill_template(options: Options) -> dict[str, str] | None:
    """The text of each candidate label; None without any. Raises BadInput for a template without `{}`."""
    labels, template = options.get("candidate_labels"), options.get("hypothesis_template")
    if template is not None and "{}" not in template:
        raise BadInput("options.hypothesis_template", repr(template), "a text with {} where the label goes")
    if labels is None:
        if template is not None:
            raise BadInput("options.hypothesis_template", "given alone", "given with candidate_labels")
        return None
    listed = [labels] if isinstance(labels, str) else labels
    return {label: (template or TEMPLATE).replace("{}", label) for label in listed}


PROCESSOR = ComparingProcessor
