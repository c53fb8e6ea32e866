"""Images or sounds with texts in one space: embeddings of either, and scores of texts for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.logits import tell_flat
from browser_runtime.families.processor import Options, Output, Plain, Processor
from browser_runtime.models.configuration.comparison import ComparisonPlan
from browser_runtime.models.files.json_files import Json, read_object
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.tokenizer import TextTokenizer
from browser_runtime.texts.tokens import Tokens

Array = np.ndarray[Any, np.dtype[Any]]
Texts = list[tuple[str, str]]
"""Texts, each behind the name that scores give it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An item: an image or a sound, texts with the names that scores give them, or both."""

    array: Array | None
    texts: tuple[tuple[str, Tokens], ...] | None
    """Each with its name; a name that was given twice is there twice, as in transformers."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Of the array, for the output."""

    @property
    def nbytes(self) -> int:
        """Bytes in a frame."""
        tokens = sum(each.nbytes for _, each in self.texts or ())
        return tokens + (0 if self.array is None else self.array.nbytes)

    def to_wire(self) -> dict[str, object]:
        """Plain values and arrays, as the page takes them."""
        texts = None
        if self.texts is not None:
            texts = [{"name": name, "tokens": tokens.to_wire()} for name, tokens in self.texts]
        return {"array": self.array, "texts": texts, "facts": dict(self.facts)}


class ComparingProcessor(Processor):
    """The tokenizer of a model and how it compares; a subclass reads what its texts are compared with."""

    NOUN: ClassVar[str]
    """The other kind of input, in words."""
    TEMPLATE: ClassVar[str]
    """Of transformers' pipeline: the text that a label is put into."""
    NORMALIZES: ClassVar[bool] = False
    """True if embeddings get the length 1 unless a request says otherwise."""
    WORK_OF_A_TEXT: ClassVar[float]
    """In items of the other kind."""

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's JSON files and opens its tokenizer. Raises BadInput, BadRequest."""
        config = read_object(folder / "config.json")
        self.model = model
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

    def read_array(self, item: Any, field: str) -> tuple[Array | None, Mapping[str, object]]:
        """The image or sound in an item, if any, and facts of it for the output. Raises BadInput."""
        raise NotImplementedError

    def plan_arrays(self) -> Json:
        """Plain values by which a page prepares images or sounds."""
        raise NotImplementedError

    def draw_sample(self) -> Any:
        """An image or a sound, made up."""
        raise NotImplementedError

    @property
    def pad_id(self) -> int:
        """The token that shorter texts are padded with."""
        return self._tokenizer.pad_id

    @property
    def settings(self) -> Json:
        """The plans, padding, and what a usual item is run with."""
        (sample,) = self.encode([self.draw_sample()], ["sample"], {"candidate_labels": ["a cat", "a dog"]})
        assert isinstance(sample, Comparison), sample
        return {
            **self.plan_arrays(),
            "comparison": self.plan.to_page(),
            "pad_id": self.pad_id,
            "sample": {"texts": sample.to_wire()["texts"]},
            "example": dict(self.choose({})),
            "details": self.describe(),
        }

    def choose(self, options: Options) -> Plain:
        """The number of labels, null for all, and whether embeddings get the length 1."""
        return {
            "top_k": options.get("top_k"),
            "normalize": bool(options.get("normalize", self.NORMALIZES)),
        }

    def encode(
        self, items: Sequence[Any], fields: Sequence[str], options: Options
    ) -> list[Comparison | BadInput]:
        """Each item with its texts as tokens; a BadInput in the place of one that cannot be compared.

        Raises BadInput for a template without a place for the label.
        """
        labels = self._fill_template(options)
        return [self._try(item, field, labels) for item, field in zip(items, fields, strict=True)]

    def _try(self, item: Any, field: str, labels: Texts | None) -> Comparison | BadInput:
        try:
            return self._encode(item, field, labels)
        except BadInput as error:
            return error

    def _encode(self, item: Any, field: str, labels: Texts | None) -> Comparison:
        texts = labels
        if isinstance(item, dict) and item.get("texts"):
            if labels is not None:
                allowed = f"{self.NOUN} alone where candidate_labels are given"
                raise BadInput(field, "holding texts", allowed)
            texts = [(text, text) for text in item["texts"]]
        array, facts = self.read_array(item, field)
        if array is None and texts is None:
            raise BadInput(field, f"of type {type(item).__name__}", f"{self.NOUN}, texts, or both")
        if array is None and len(texts or ()) > 1:
            problem = f"{len(texts or ())} texts without {self.NOUN}"
            raise BadInput(field, problem, f"one text, or {self.NOUN} too")
        if texts is None:
            return Comparison(array, None, facts)
        if array is not None and self.plan.scale is None:
            raise self._without_scale(field)
        tokens = self._tokenizer.encode([text for _, text in texts], field)
        named = ((name, each) for (name, _), each in zip(texts, tokens, strict=True))
        return Comparison(array, tuple(named), facts)

    def _without_scale(self, field: str) -> BadInput:
        name = "the model" if self.model is None else repr(self.model.name)
        allowed = f"one of both: the files of {name} tell no logit_scale for scores"
        return BadInput(field, f"{self.NOUN} with texts", allowed)

    def _fill_template(self, options: Options) -> Texts | None:
        """The text of each candidate label; None without any. Raises BadInput for a template without `{}`."""
        labels, template = options.get("candidate_labels"), options.get("hypothesis_template")
        if template is not None and "{}" not in template:
            allowed = "a text with {} where the label goes"
            raise BadInput("options.hypothesis_template", repr(template), allowed)
        if labels is None:
            if template is not None:
                raise BadInput("options.hypothesis_template", "given alone", "given with candidate_labels")
            return None
        listed = [labels] if isinstance(labels, str) else labels
        if not listed:
            raise BadInput("options.candidate_labels", "an empty list", "one label at least, or left out")
        return [(label, (template or self.TEMPLATE).replace("{}", label)) for label in listed]

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters of all texts."""
        texts = (item["texts"] for item in items if isinstance(item, dict) and item.get("texts"))
        return sum(len(text) for each in texts for text in each)

    def estimate_work(self, item: Comparison, options: Options) -> float:
        """Images or sounds, and texts as parts of one."""
        return (item.array is not None) + self.WORK_OF_A_TEXT * len(item.texts or ())

    def describe(self) -> Plain:
        """Details that matter when scores are compared."""
        plan = self.plan
        return {"logit_scale": plan.scale, "function": plan.function, "warnings": self.warnings()}

    def warnings(self) -> list[str]:
        """A doubt about the scale."""
        return [self.plan.doubt] if self.plan.doubt else []

    def find_doubt(self, output: Output) -> str:
        """Warns of logits that are all equal: the order of the labels is then chance."""
        return tell_flat(output.get("logits", ()))

    def sample_items(self) -> list[Any]:
        """An image or a sound, and a text."""
        return [self.draw_sample(), {"texts": ["a photo of a cat"]}]
