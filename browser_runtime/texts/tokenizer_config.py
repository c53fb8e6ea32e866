"""What tokenizer_config.json asks for beyond tokenizer.json: done as transformers does it.

Source: transformers 5.24, `tokenization_utils_tokenizers.py` and the tokenizer classes of its models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.keys import require
from browser_runtime.models.json_files import read_object

FILE = "tokenizer_config.json"
# Classes that take tokenizer.json as it is: transformers heeds a key about normalising in the others alone.
GENERIC_CLASSES = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")
# Keys that name one special token each.
SPECIAL_TOKENS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
# Keys obeyed here or by whoever asks for the token limit.
OBEYED = (
    *SPECIAL_TOKENS,
    *("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", "split_special_tokens"),
    *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space"),
    *("add_bos_token", "add_eos_token", "truncation_side", "model_max_length", "model_input_names"),
)
# Keys that change no id of a text read by itself: about decoding, padding, other programs, other files.
WITHOUT_EFFECT = frozenset(
    (
        *("tokenizer_class", "processor_class", "auto_map", "backend", "name_or_path", "is_local", "is_fast"),
        *("local_files_only", "use_fast", "from_slow", "tokenizer_file", "vocab_file", "merges_file"),
        *(
            "tokenizer_name",
            "special_tokens_map_file",
            "sp_model_kwargs",
            "legacy",
            "vocab_type",
            "trust_remote_code",
        ),
        *("clean_up_tokenization_spaces", "spaces_between_special_tokens", "errors", "trim_offsets"),
        *("padding_side", "pad_to_multiple_of", "pad_token_type_id", "max_length", "max_len", "stride"),
        *("truncation_strategy", "chat_template", "use_default_system_prompt", "wordpieces_prefix"),
        *("do_basic_tokenize", "never_split", "split_by_punct", "extra_ids", "keep_accents", "remove_space"),
        *("additional_special_tokens_ids", "tokenizer_type", "transformers_version", "response_schema"),
    )
)


class TokenizerConfig:
    """The configuration beside a tokenizer.json."""

    def __init__(self, folder: Path) -> None:
        """Reads the folder's files. Raises BadRequest for a broken one."""
        self.values = read_object(folder / "special_tokens_map.json") | read_object(folder / FILE)

    @property
    def truncation_side(self) -> str:
        """Which end of a text that is too long is cut off. Raises BadInput for none of both."""
        side = self.values.get("truncation_side") or "right"
        require("truncation_side", FILE, side, side in ("left", "right"), "left or right")
        return str(side)

    @property
    def has_segments(self) -> bool:
        """Whether the model is told which segment a token belongs to."""
        names = self.values.get("model_input_names")
        return not isinstance(names, list) or "token_type_ids" in names

    @property
    def unknown_keys(self) -> list[str]:
        """Keys that nobody here knows: they may change ids, or not."""
        known = WITHOUT_EFFECT.union(OBEYED)
        return sorted(name for name in self.values if name not in known)

    def apply(self, tokenizer: Any) -> None:
        """Changes the open `tokenizer` to what the files ask for. Raises BadInput for what cannot be."""
        self._add_tokens(tokenizer)
        if self.values.get("tokenizer_class") not in GENERIC_CLASSES:
            self._set_normalizing(tokenizer)
        tokenizer.encode_special_tokens = bool(self.values.get("split_special_tokens"))
        self._require_ends(tokenizer)

    def token(self, name: str) -> str | None:
        """The special token under `name` ("pad_token"), however it is written."""
        return _content(self.values.get(name))

    def _add_tokens(self, tokenizer: Any) -> None:
        """Adds what tokenizer.json does not know as a special token yet."""
        from tokenizers import AddedToken

        known = {added.content for added in tokenizer.get_added_tokens_decoder().values()}
        for number, flags in _numbered(self.values.get("added_tokens_decoder")):
            if flags["content"] not in known:
                tokenizer.add_tokens([AddedToken(**flags)])
            given = tokenizer.token_to_id(flags["content"])
            place = f"{number} for {flags['content']!r}"
            require("added_tokens_decoder", FILE, place, given == number, f"tokenizer.json's id, {given}")
            known.add(flags["content"])
        fresh = [token for token in self._special_tokens() if token not in known]
        tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in fresh])

    def _special_tokens(self) -> Iterator[str]:
        named = [self.values.get(name) for name in SPECIAL_TOKENS]
        for name in ("additional_special_tokens", "extra_special_tokens"):
            more = self.values.get(name) or []
            named += list(more.values()) if isinstance(more, dict) else list(more)
        for token in named:
            if (content := _content(token)) is not None:
                yield content

    def _set_normalizing(self, tokenizer: Any) -> None:
        for part in parts(tokenizer.normalizer):
            if type(part).__name__ == "BertNormalizer":
                self._set(part, "do_lower_case", "lowercase")
                self._set(part, "strip_accents", "strip_accents")
                self._set(part, "tokenize_chinese_chars", "handle_chinese_chars")
        for part in parts(tokenizer.pre_tokenizer):
            if type(part).__name__ == "ByteLevel":
                self._set(part, "add_prefix_space", "add_prefix_space")

    def _set(self, part: Any, name: str, attribute: str) -> None:
        value = self.values.get(name)
        # BERT's own default for accents is none of both: they go where letters are lower-cased.
        if name in self.values and (value is not None or name == "strip_accents"):
            require(name, FILE, value, value is None or isinstance(value, bool), "true or false")
            setattr(part, attribute, value)

    def _require_ends(self, tokenizer: Any) -> None:
        """Raises BadInput where a token shall open or close each text and tokenizer.json puts none there."""
        ids = tokenizer.encode("").ids
        for flag, name, end in (
            ("add_bos_token", "bos_token", ids[:1]),
            ("add_eos_token", "eos_token", ids[-1:]),
        ):
            token = self.token(name)
            if self.values.get(flag) is True and token is not None:
                is_there = end == [tokenizer.token_to_id(token)]
                require(flag, FILE, True, is_there, f"false, or {token!r} put there by tokenizer.json")


def _content(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _numbered(tokens: Any) -> list[tuple[int, dict[str, Any]]]:
    """The tokens of `added_tokens_decoder` by id. Raises BadInput where they are none."""
    allowed = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    try:
        numbered = [
            (int(number), {name: flags[name] for name in allowed if name in flags})
            for number, flags in (tokens or {}).items()
        ]
        return sorted(numbered, key=lambda each: (each[0], each[1]["content"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"added_tokens_decoder of {FILE}", "no table of tokens", "tokens by their id"
        ) from error


def parts(sequence: Any) -> Iterator[Any]:
    """The steps of a normalizer or pre-tokenizer; changing one changes the whole."""
    if type(sequence).__name__ != "Sequence":
        yield sequence
        return
    step: Callable[[int], Any] = sequence.__getitem__
    index = 0
    while True:
        try:
            part = step(index)
        except IndexError:
            return
        yield from parts(part)
        index += 1
