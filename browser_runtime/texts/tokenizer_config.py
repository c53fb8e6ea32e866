"""The settings of tokenizer_config.json beyond tokenizer.json, obeyed as transformers does.

Source: transformers 5.24, `tokenization_utils_tokenizers.py` and the tokenizer classes of its models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.fields import FLAG, NUMBER, Fields, Rule
from browser_runtime.models.files.json_files import read_object

FILE = "tokenizer_config.json"
# Classes that take tokenizer.json as it is: transformers heeds a key about normalising in the others alone.
GENERIC_CLASSES = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")
# Keys that name one special token each.
SPECIAL_TOKENS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
MORE_TOKENS = ("additional_special_tokens", "extra_special_tokens")
TOKEN_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def _is_token(token: Any) -> bool:
    return isinstance(token.get("content") if isinstance(token, dict) else token, str)


def _are_tokens(tokens: Any) -> bool:
    listed = list(tokens.values()) if isinstance(tokens, dict) else tokens
    return isinstance(listed, list) and all(map(_is_token, listed))


def _are_numbered(tokens: Any) -> bool:
    return isinstance(tokens, dict) and all(
        number.isdecimal() and _has_flags(token) for number, token in tokens.items()
    )


def _has_flags(token: Any) -> bool:
    if not isinstance(token, dict) or not _is_token(token):
        return False
    return all(isinstance(token[name], bool) and name in TOKEN_FLAGS for name in token if name != "content")


TOKEN = Rule("a token", _is_token)
# Keys that are obeyed, here or by whoever asks for the token limit.
OBEYED = {
    **dict.fromkeys(SPECIAL_TOKENS, TOKEN),
    **dict.fromkeys(MORE_TOKENS, Rule("a list of tokens", _are_tokens)),
    "added_tokens_decoder": Rule("tokens with their flags, by id", _are_numbered),
    **dict.fromkeys(("split_special_tokens", "add_bos_token", "add_eos_token"), FLAG),
    **dict.fromkeys(("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space"), FLAG),
    "truncation_side": Rule("left or right", lambda side: side in ("left", "right")),
    "model_max_length": NUMBER,
    "model_input_names": Rule("a list of names", lambda names: isinstance(names, list)),
}
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
        """Reads the folder's files. Raises BadRequest for a broken one, BadInput for a value that is none."""
        values = read_object(folder / "special_tokens_map.json") | read_object(folder / FILE)
        self._fields = Fields(FILE, values)
        for key, rule in OBEYED.items():
            self._fields.read(key, None, rule)

    @property
    def truncation_side(self) -> str:
        """The end at which a text that is too long is cut."""
        return str(self._fields.get("truncation_side", "right"))

    @property
    def has_segments(self) -> bool:
        """True if the model takes the segment of each token."""
        return "token_type_ids" in self._fields.get("model_input_names", ["token_type_ids"])

    @property
    def unknown_keys(self) -> list[str]:
        """Keys that nobody here knows: they may change ids, or not."""
        return sorted(set(self._fields.keys()) - WITHOUT_EFFECT - set(OBEYED))

    def apply(self, tokenizer: Any) -> None:
        """Changes the open `tokenizer` to what the files ask for. Raises BadInput for what cannot be."""
        self.add_tokens(tokenizer)
        if self._fields.get("tokenizer_class") not in GENERIC_CLASSES:
            self._set_normalizing(tokenizer)
        tokenizer.encode_special_tokens = self._fields.get("split_special_tokens", False)
        self._require_ends(tokenizer)

    def token(self, name: str) -> str | None:
        """The special token under `name` ("pad_token"), however it is written."""
        given = self._fields.get(name)
        return None if given is None else _content(given)

    def add_tokens(self, tokenizer: Any) -> None:
        """Adds what tokenizer.json does not know as a special token yet."""
        from tokenizers import AddedToken

        known = {added.content for added in tokenizer.get_added_tokens_decoder().values()}
        numbered = self._fields.get("added_tokens_decoder", {})
        for number, flags in sorted((int(number), flags) for number, flags in numbered.items()):
            if flags["content"] not in known:
                tokenizer.add_tokens([AddedToken(**flags)])
            given = tokenizer.token_to_id(flags["content"])
            if given != number:
                place = f"{number} for {flags['content']!r}"
                raise BadInput(f"added_tokens_decoder of {FILE}", place, f"tokenizer.json's id, {given}")
            known.add(flags["content"])
        for token in self._special_tokens():
            flags = token if isinstance(token, dict) else {}
            kept = {name: flags[name] for name in TOKEN_FLAGS if name in flags}
            if _content(token) not in known:
                tokenizer.add_special_tokens([AddedToken(_content(token), **{"normalized": False, **kept})])

    def _special_tokens(self) -> list[Any]:
        """Each a text, or an object with flags."""
        named = [self._fields.get(name) for name in SPECIAL_TOKENS]
        for name in MORE_TOKENS:
            more = self._fields.get(name, [])
            named += more.values() if isinstance(more, dict) else more
        return [token for token in named if token is not None]

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
        # BERT's own default for accents is none of both: they go where letters are lower-cased.
        if self._fields.get(name) is not None or (name == "strip_accents" and self._fields.has(name)):
            setattr(part, attribute, self._fields.get(name))

    def _require_ends(self, tokenizer: Any) -> None:
        """Raises BadInput if a token shall open or close each text and tokenizer.json puts none there."""
        ids = tokenizer.encode("").ids
        for flag, name, end in (
            ("add_bos_token", "bos_token", ids[:1]),
            ("add_eos_token", "eos_token", ids[-1:]),
        ):
            token = self.token(name)
            if self._fields.get(flag) and token is not None and end != [tokenizer.token_to_id(token)]:
                raise self._fields.refusal(flag, f"false, or {token!r} put there by tokenizer.json")


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


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
