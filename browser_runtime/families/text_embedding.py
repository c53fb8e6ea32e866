"""Text embeddings: texts to tokens before a page, and the modules that follow the graph in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import BadInput, BadOutput
from browser_runtime.families.processor import Options, Output, Plain, Processor
from browser_runtime.models.configuration.embeddings import EmbeddingPlan
from browser_runtime.models.configuration.sentence_modules import Normalize
from browser_runtime.models.files.json_files import Json
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.module_weights import with_weights
from browser_runtime.texts.tokenizer import TextTokenizer
from browser_runtime.texts.tokens import Tokens

# A search query or a short sentence, the commonest input: what a page warms up on.
SAMPLE = "How do I reset my password?"
# A text that fills the model shows whether it has all its positions; attention grows with the square.
MAX_TRIAL_TOKENS = 1024


class TextProcessor(Processor):
    """The tokenizer of a model and the modules that follow its graph."""

    def __init__(self, folder: Path, plan: EmbeddingPlan) -> None:
        """Opens the tokenizer and the weights beside the graph. Raises BadRequest or BadInput."""
        self.plan = plan
        self.modules = with_weights(folder, plan.modules)
        self._tokenizer = TextTokenizer(folder, plan.max_tokens, plan.lower_case)

    @classmethod
    def check(cls, folder: Path) -> None:
        """Returns if tokenizer and modules are done here. Raises BadInput, BadRequest."""
        cls(folder, EmbeddingPlan.read(folder))

    @classmethod
    def read_settings(cls, folder: Path) -> Json:
        """The pooling and the modules that follow it. Raises BadInput."""
        return EmbeddingPlan.read(folder).to_settings()

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput or BadRequest."""
        return cls(model.folder, EmbeddingPlan.of_model(model))

    def choose(self, options: Options) -> Options:
        """The options, with the numbers to keep as the model's files say where a request does not."""
        own = {} if self.plan.dimensions is None else {"dimensions": self.plan.dimensions}
        return own | dict(options)

    def encode(
        self, items: Sequence[Any], fields: Sequence[str], options: Options
    ) -> list[Tokens | BadInput]:
        """The tokens of each text with its prompt before it; a BadInput in the place of what is no text.

        Raises BadInput for a prompt that the model does not have.
        """
        prompt = self.plan.prompt(options)
        flaws = [_flaw(text, field) for text, field in zip(items, fields, strict=True)]
        whole = [prompt + text for text, flaw in zip(items, flaws, strict=True) if flaw is None]
        given = [field for field, flaw in zip(fields, flaws, strict=True) if flaw is None]
        tokens = iter(self._leave_out(prompt, self._tokenise(whole, given)))
        return [
            flaw or _not_without_tokens(next(tokens), field)
            for flaw, field in zip(flaws, fields, strict=True)
        ]

    @property
    def pad_id(self) -> int:
        """The token that shorter texts are padded with."""
        return self._tokenizer.pad_id

    def _tokenise(self, texts: Sequence[str], fields: Sequence[str]) -> list[Tokens | BadInput]:
        """The tokens of each text; all at once, and one by one where that fails, to refuse the one alone."""
        try:
            return [*self._tokenizer.encode(texts, fields[0] if fields else "texts")]
        except BadInput as error:
            if len(texts) == 1:
                return [error]
        return [self._tokenise([text], [field])[0] for text, field in zip(texts, fields, strict=True)]

    def _leave_out(self, prompt: str, tokens: list[Tokens | BadInput]) -> list[Tokens | BadInput]:
        """The tokens, the prompt's marked as no part of the embedding where the pooling leaves them out."""
        if not prompt or self.plan.pooling.include_prompt:
            return tokens
        n_prompt = self._tokenizer.count_prompt(prompt)
        return [each if isinstance(each, BadInput) else replace(each, n_prompt=n_prompt) for each in tokens]

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters of all texts."""
        return sum(len(text) for text in items if isinstance(text, str))

    def measure(self, item: Tokens) -> float:
        """Tokens of a text."""
        return float(len(item))

    def estimate_work(self, item: Tokens, options: Options) -> float:
        """Tokens of a text."""
        return float(len(item))

    def finish(self, output: Output) -> Output:
        """The output as it is. Raises BadOutput for an embedding of zeros, which is like no text at all."""
        if output["tokens"] and not np.any(output["embedding"]):
            raise BadOutput(f"the embedding of {output['tokens']} tokens is all zeros")
        return output

    def sample_items(self) -> list[str]:
        """A usual text, and one as long as the model takes."""
        longest = min(self.plan.max_tokens, MAX_TRIAL_TOKENS)
        # Any tokenizer makes a token or more of each word.
        return [SAMPLE, " ".join([SAMPLE] * (longest // len(SAMPLE.split()) + 1))]

    def read_example(self, path_or_text: str) -> str:
        """The text itself."""
        return path_or_text

    @property
    def settings(self) -> Plain:
        """Modules, token limit, padding, and the tokens of a usual text."""
        (sample,) = self._tokenizer.encode([SAMPLE], "sample")
        return {
            "modules": self.modules,
            "max_tokens": self.plan.max_tokens,
            "pad_id": self.pad_id,
            "first_position": self.plan.first_position,
            "sample": sample.to_wire(),
            "details": self.describe(),
        }

    def describe(self) -> Plain:
        """Details that matter when embeddings are compared."""
        plan = self.plan
        return {
            "pooling": "+".join(plan.pooling.modes),
            "normalize": isinstance(plan.modules[-1], Normalize),
            "modules": [module.kind for module in plan.modules],
            "max_tokens": plan.max_tokens,
            "similarity": plan.similarity,
            "default_prompt": plan.default_prompt,
            "warnings": self.warnings(),
        }

    def warnings(self) -> list[str]:
        """Doubts about the pooling and the tokenizer's settings."""
        assumed = "the model's files name no pooling: the mean of its tokens was taken and normalised"
        unknown = self._tokenizer.config.unknown_keys
        doubtful = f"tokenizer_config.json has keys that are not known here: {', '.join(unknown)}"
        return [assumed] * self.plan.is_assumed + [doubtful] * bool(unknown)


def _flaw(text: Any, field: str) -> BadInput | None:
    """The reason that `text` cannot be tokenised; None if it can."""
    if not isinstance(text, str):
        return BadInput(field, f"of type {type(text).__name__}", "a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X} at character {error.start}"
        return BadInput(field, f"holding half of a character ({half})", "Unicode text")
    return None


def _not_without_tokens(tokens: Tokens | BadInput, field: str) -> Tokens | BadInput:
    """The tokens of one text, or why its model cannot run on it."""
    if isinstance(tokens, BadInput) or tokens:
        return tokens
    return BadInput(field, "a text of which the model's tokenizer makes no token", "a text with one at least")


PROCESSOR = TextProcessor
