"""The tokenizer and the chat template inside a GGUF file, as tokenizer.json and tokenizer_config.json.

Source: llama.cpp's `llama-vocab.cpp` for what each name of a pre-tokenizer means, the tokenizer.json files of
the models that were converted; for SentencePiece transformers' `generate_merges`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.reading.gguf import GgufFile
from browser_runtime.models.files.paths import shorten

START = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
GPT2, SENTENCEPIECE = "gpt2", "llama"
# GPT-4's splitting, as Llama 3 and Qwen have it; they differ in how many digits stay together.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
THREE_DIGITS, ONE_DIGIT = SPLIT.replace("DIGITS", "{1,3}"), SPLIT.replace("DIGITS", "")


@dataclass(frozen=True, slots=True)
class Splitting:
    """The rule that cuts texts before merges; llama.cpp's name stands for all of it."""

    pattern: str | None = None
    """None: GPT-2's own, which is ByteLevel's."""
    single_digits: bool = False
    composed: bool = False
    """Unicode is brought to NFC first."""
    whole_first: bool = False
    """A word that is a token is one, whatever the merges say."""
    bos_first: bool = False


SPLITTINGS = {
    "gpt-2": Splitting(),
    "smollm": Splitting(single_digits=True),
    "llama-bpe": Splitting(THREE_DIGITS, whole_first=True, bos_first=True),
    "llama3": Splitting(THREE_DIGITS, whole_first=True, bos_first=True),
    "qwen2": Splitting(ONE_DIGIT, composed=True),
}


def read_tokenizer(file: GgufFile) -> tuple[str, dict[str, Any]]:
    """tokenizer.json as a text, and tokenizer_config.json. Raises BadInput or BadRequest."""
    kind = _field(file, "model", str, "")
    if kind == GPT2:
        tokenizer, puts_bos = _byte_level(file)
    elif kind == SENTENCEPIECE:
        tokenizer, puts_bos = _sentencepiece(file), True
    else:
        raise BadInput(f"{START}model of {file.path}", shorten(kind), f"{GPT2} or {SENTENCEPIECE}")
    _add_tokens(file, tokenizer)
    _add_ends(file, tokenizer, _field(file, "add_bos_token", bool, puts_bos))
    return tokenizer.to_str(), _configure(file)


def _field(file: GgufFile, name: str, kind: type, default: Any) -> Any:
    value = file.fields.get(f"{START}{name}", default)
    if value is not default and type(value) is not kind:
        raise BadInput(f"{START}{name} of {file.path}", shorten(value), f"of type {kind.__name__}")
    return value


def _list(file: GgufFile, name: str, kind: type) -> list[Any]:
    values: list[Any] = _field(file, name, list, [])
    if not all(type(value) is kind for value in values):
        raise BadRequest(f"{START}{name} of {file.path} is no list of {kind.__name__}")
    return values


def _vocabulary(file: GgufFile) -> dict[str, int]:
    """Tokens by text. Raises BadRequest where two are the same: only one of them could be found."""
    tokens = _list(file, "tokens", str)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if not tokens or len(vocabulary) != len(tokens):
        raise BadRequest(
            f"{START}tokens of {file.path} has {len(tokens)} tokens, {len(vocabulary)} of them different"
        )
    return vocabulary


def _byte_level(file: GgufFile) -> tuple[Any, bool]:
    """GPT-2's kind: bytes as letters, merges in order of rank."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    name = _field(file, "pre", str, "default")
    if name not in SPLITTINGS:
        raise BadInput(f"{START}pre of {file.path}", shorten(name), f"one of {', '.join(SPLITTINGS)}")
    how = SPLITTINGS[name]
    vocabulary = _vocabulary(file)
    model = models.BPE(vocabulary, _read_merges(file, vocabulary), ignore_merges=how.whole_first)
    tokenizer = Tokenizer(model)
    if how.composed:
        tokenizer.normalizer = normalizers.NFC()
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if how.single_digits else []
    if how.pattern is not None:
        steps.append(pre_tokenizers.Split(Regex(how.pattern), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=how.pattern is None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, how.bos_first


def _read_merges(file: GgufFile, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of tokens whose union is a token. Raises BadRequest for others, on which `tokenizers` panics."""
    merges: list[tuple[str, str]] = []
    for merge in _list(file, "merges", str):
        left, blank, right = merge.partition(" ")
        if not blank or not {left, right, left + right} <= vocabulary.keys():
            raise BadRequest(
                f"the merge {shorten(merge)} of {file.path} is not of two tokens that make a third"
            )
        merges.append((left, right))
    return merges


def _sentencepiece(file: GgufFile) -> Any:
    """SentencePiece's BPE: the pair whose union scores highest is merged first; the rest becomes bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    vocabulary, scores = _vocabulary(file), _list(file, "scores", float)
    if len(scores) != len(vocabulary):
        raise BadRequest(f"{START}scores of {file.path} are {len(scores)} for {len(vocabulary)} tokens")
    unknown = list(vocabulary)[_number(file, "unknown", len(vocabulary)) or 0]
    merges = _merges_of(vocabulary, scores)
    model = models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    spaced = _field(file, "add_space_prefix", bool, True)
    first = [normalizers.Prepend("▁")] if spaced else []
    tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    last = [decoders.Strip(" ", 1, 0)] if spaced else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    )
    return tokenizer


def _merges_of(vocabulary: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    found: list[tuple[float, int, int, str, str]] = []
    for piece, number in vocabulary.items():
        halves = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        pairs = [(left, right) for left, right in halves if left in vocabulary and right in vocabulary]
        pairs.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        found += [(scores[number], len(left), len(right), left, right) for left, right in pairs]
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return [merge[3:] for merge in found]


def _add_tokens(file: GgufFile, tokenizer: Any) -> None:
    """Control tokens are special; those of users are found whole in a text, too."""
    from tokenizers import AddedToken

    tokens, kinds = _list(file, "tokens", str), _list(file, "token_type", int)
    if kinds and len(kinds) != len(tokens):
        raise BadRequest(f"{START}token_type of {file.path} are {len(kinds)} for {len(tokens)} tokens")
    pairs = list(zip(tokens, kinds, strict=False))
    special = [AddedToken(token, normalized=False, special=True) for token, kind in pairs if kind == CONTROL]
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in pairs if kind == USER])


def _number(file: GgufFile, name: str, n_tokens: int) -> int | None:
    number: int | None = _field(file, f"{name}_token_id", int, None)
    if number is not None and not 0 <= number < n_tokens:
        raise BadInput(f"{START}{name}_token_id of {file.path}", str(number), f"below {n_tokens}")
    return number


def _add_ends(file: GgufFile, tokenizer: Any, puts_bos: bool) -> None:
    """The tokens that begin and end every text."""
    from tokenizers.processors import TemplateProcessing

    tokens = _list(file, "tokens", str)
    bos, eos = (_number(file, name, len(tokens)) for name in ("bos", "eos"))
    before = [bos] if puts_bos and bos is not None else []
    after = [eos] if _field(file, "add_eos_token", bool, False) and eos is not None else []
    if not before and not after:
        return
    tokenizer.post_processor = TemplateProcessing(
        single=[*(tokens[each] for each in before), "$A", *(tokens[each] for each in after)],
        special_tokens=[(tokens[each], each) for each in {*before, *after}],
    )


def _configure(file: GgufFile) -> dict[str, Any]:
    tokens = _list(file, "tokens", str)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }
    for name, ggml in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        number = _number(file, ggml, len(tokens))
        if number is not None:
            config[f"{name}_token"] = tokens[number]
    template = file.fields.get("tokenizer.chat_template")
    if isinstance(template, str):
        config["chat_template"] = template
    return config
