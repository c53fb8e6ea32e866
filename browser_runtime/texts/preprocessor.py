"""What a text-embedding model needs before its page: its tokenizer, and what the page is told of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.embeddings import EmbeddingPlan
from browser_runtime.models.configuration.sentence_modules import Normalize
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.module_weights import with_weights
from browser_runtime.texts.tokenizer import TextTokenizer
from browser_runtime.texts.tokens import Tokens

# A search query or a short sentence, the commonest input: what a page warms up on.
SAMPLE = "How do I reset my password?"
# As many as a lane keeps models by default (`max_loaded_models`); a multilingual vocabulary takes 100 MB.
MAX_OPEN = 4


class TextPreprocessor:
    """The steps from texts to tokens of one model. Safe to use from several threads."""

    def __init__(self, model: StoredModel) -> None:
        """Opens the model's tokenizer and the weights beside its graph. Raises BadRequest or BadInput."""
        self.plan = plan = EmbeddingPlan.of_model(model)
        self.modules = with_weights(model.folder, plan.modules)
        self._tokenizer = TextTokenizer(model.folder, plan.max_tokens, plan.lower_case)

    def encode(
        self, texts: Sequence[Any], fields: Sequence[str], options: dict[str, Any]
    ) -> list[Tokens | BadInput]:
        """Each text's tokens, its prompt before it, or why it has none, naming it by its field.

        Raises BadInput for a prompt that there is not.
        """
        prompt = self.plan.prompt(options)
        flaws = [_flaw(text, field) for text, field in zip(texts, fields, strict=True)]
        whole = [prompt + text for text, flaw in zip(texts, flaws, strict=True) if flaw is None]
        tokens = iter(self._leave_out(prompt, self._tokenizer.encode(whole)))
        return [
            flaw or _not_without_tokens(next(tokens), field)
            for flaw, field in zip(flaws, fields, strict=True)
        ]

    @property
    def pad_id(self) -> int:
        """The token that shorter texts are padded with."""
        return self._tokenizer.pad_id

    def _leave_out(self, prompt: str, tokens: list[Tokens]) -> list[Tokens]:
        """The tokens, the prompt's marked as no part of the embedding where the pooling leaves them out."""
        if not prompt or self.plan.pooling.include_prompt:
            return tokens
        n_prompt = self._tokenizer.count_prompt(prompt)
        return [replace(each, n_prompt=n_prompt) for each in tokens]

    def page_settings(self) -> dict[str, Any]:
        """What a `load` call tells the page: modules, token limit, how to pad, what to warm up on."""
        (sample,) = self._tokenizer.encode([SAMPLE])
        return {
            "modules": self.modules,
            "max_tokens": self.plan.max_tokens,
            "pad_id": self.pad_id,
            "first_position": self.plan.first_position,
            "sample": sample.to_wire(),
            "details": self.describe(),
        }

    def describe(self) -> dict[str, Any]:
        """What a reader of the reply needs to compare embeddings."""
        plan = self.plan
        return {
            "pooling": "+".join(plan.pooling.modes),
            "normalize": isinstance(plan.modules[-1], Normalize),
            "modules": [module.kind for module in plan.modules],
            "max_tokens": plan.max_tokens,
            "similarity": plan.similarity,
            "default_prompt": plan.default_prompt,
            "warnings": self._warnings(),
        }

    def _warnings(self) -> list[str]:
        assumed = "the model's files name no pooling: the mean of its tokens was taken and normalised"
        unknown = self._tokenizer.config.unknown_keys
        doubtful = f"tokenizer_config.json has keys that are not known here: {', '.join(unknown)}"
        return [assumed] * self.plan.is_assumed + [doubtful] * bool(unknown)


def _flaw(text: Any, field: str) -> BadInput | None:
    """What keeps `text` from being tokenised."""
    if not isinstance(text, str):
        return BadInput(field, f"of type {type(text).__name__}", "a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X} at character {error.start}"
        return BadInput(field, f"holding half of a character ({half})", "Unicode text")
    return None


def _not_without_tokens(tokens: Tokens, field: str) -> Tokens | BadInput:
    """The tokens of one text, or why its model cannot run on it."""
    if tokens:
        return tokens
    return BadInput(field, "a text of which the model's tokenizer makes no token", "a text with one at least")


class OpenPreprocessors:
    """The preprocessors open in this process, the least recently used closed beyond the limit."""

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._open: OrderedDict[tuple[Path, str], TextPreprocessor] = OrderedDict()
        self._opening = threading.Lock()

    def find(self, model: StoredModel) -> TextPreprocessor | None:
        """The open one, at once."""
        return self._open.get((model.folder, model.revision))

    def take(self, model: StoredModel) -> TextPreprocessor:
        """The open one, or opened now: half a second for a large vocabulary. Raises BadRequest."""
        key = (model.folder, model.revision)
        with self._opening:
            if key not in self._open:
                self._open[key] = TextPreprocessor(model)
            self._open.move_to_end(key)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
            return self._open[key]


PREPROCESSORS = OpenPreprocessors()
"""Of this process: whoever runs a model's texts shares them, since nothing in them changes."""
