"""A model's own tokenizer, run by Python's `tokenizers`: the library that defines what is right.

transformers.js agrees with it on most texts, not on all (a final sigma, CJK extension B, unusual spaces,
SentencePiece's normalisation), so no text is tokenised in a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.models.files.json_files import read_object
from browser_runtime.texts.tokenizer_config import TokenizerConfig, parts
from browser_runtime.texts.tokens import Tokens

# An encoding holds some 400 bytes a token before it is cut: 80 MB for the densest texts of one call.
MAX_CHARACTERS_AT_ONCE = 200_000


class TextTokenizer:
    """The tokenizer in a model's folder. Nothing changes after it is opened, so any thread may use it."""

    def __init__(self, folder: Path, max_tokens: int | None = None, lower_case: bool = False) -> None:
        """Opens tokenizer.json as its companions ask for; texts are cut to `max_tokens`, special ones too.

        Raises BadRequest for a broken file, BadInput for what a companion asks and nobody does here.
        """
        self.config = TokenizerConfig(folder)
        self._tokenizer = open_tokenizer(folder / "tokenizer.json")
        self.config.apply(self._tokenizer)
        if lower_case:
            _lower_case_first(self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if max_tokens is not None:
            self._tokenizer.enable_truncation(max_tokens, direction=self.config.truncation_side)
        self.pad_id = self._find_pad_id(folder)

    def _find_pad_id(self, folder: Path) -> int:
        """The id of the padding token: the tokenizer's, else the model's, else 0."""
        token = self.config.token("pad_token")
        number = None if token is None else self._tokenizer.token_to_id(token)
        found = read_object(folder / "config.json").get("pad_token_id") if number is None else number
        return found if isinstance(found, int) else 0

    def encode(self, texts: Sequence[str], field: str) -> list[Tokens]:
        """The tokens of each text; without holding the interpreter, so that other threads go on.

        Raises BadInput naming the field if the tokenizer cannot take one of them.
        """
        encodings: list[Any] = []
        for group in _groups(texts):
            with refuse_untokenizable(field):
                encodings += self._tokenizer.encode_batch_fast(group, add_special_tokens=True)
        return [_tokens(encoding, self.config.has_segments) for encoding in encodings]

    def count_prompt(self, prompt: str) -> int:
        """The tokens of `prompt` with a text behind it: no special token closes it then."""
        (encoding,) = self._tokenizer.encode_batch_fast([prompt], add_special_tokens=True)
        closing = encoding.special_tokens_mask[-1:] == [1]
        return len(encoding.ids) - int(closing)


def open_tokenizer(path: Path) -> Any:
    """The tokenizer in the file. Raises BadRequest if `tokenizers` cannot use it."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more exact
        raise BadRequest(f"{path.name} cannot be opened by tokenizers: {error}") from error


@contextmanager
def refuse_untokenizable(field: str) -> Iterator[None]:
    """Raises BadInput where `tokenizers` fails: on a letter without a token, if none is for unknown ones."""
    try:
        yield
    except Exception as error:  # the library raises nothing more exact
        problem = f"a text that the model's tokenizer.json has no tokens for ({error})"
        raise BadInput(field, problem, "made of letters that the model knows") from error


def _lower_case_first(tokenizer: Any) -> None:
    """Lower-cases before all else where no step of the normalizer does, as sentence-transformers."""
    from tokenizers import normalizers

    steps = [step for step in parts(tokenizer.normalizer) if step is not None]
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in their order, so many together as are held in memory at once."""
    group: list[str] = []
    n_characters = 0
    for text in texts:
        if group and n_characters + len(text) > MAX_CHARACTERS_AT_ONCE:
            yield group
            group, n_characters = [], 0
        group.append(text)
        n_characters += len(text)
    if group:
        yield group


def _tokens(encoding: Any, has_segments: bool) -> Tokens:
    segments = np.array(encoding.type_ids, np.int32)
    return Tokens(
        ids=np.array(encoding.ids, np.int32),
        segments=segments if has_segments and segments.any() else None,
        truncated=bool(encoding.overflowing),
    )
