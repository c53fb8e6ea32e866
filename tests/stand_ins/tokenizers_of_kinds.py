"""A small tokenizer of each kind that text models have; its vocabulary has all characters of `scripts.TEXTS`.

Made the same way each time, so that `tests/data/make_token_ids.py` can ask transformers about the same ones.
"""

from __future__ import annotations

import json
import lzma
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.stand_ins.scripts import TEXTS
from tests.stand_ins.tiny_models import BERT_CONFIG, bert_weights, write_json

CHARSMAP = Path(__file__).parents[1] / "data/nmt_nfkc.charsmap.xz"
N_MERGES = 400
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _characters() -> list[str]:
    """Every character of the texts, in whichever form a normalizer may bring it."""
    found: set[str] = set()
    for text in TEXTS.values():
        for cased in (text, text.lower(), text.upper(), text.casefold()):
            found.update(
                cased, *(unicodedata.normalize(form, cased) for form in ("NFC", "NFD", "NFKC", "NFKD"))
            )
    return sorted(found)


def _words() -> list[str]:
    """The texts' words, lower-cased and not, so that the longest piece is not always one character."""
    words = {word for text in TEXTS.values() for word in (*text.split(), *text.lower().split())}
    return sorted(word for word in words if 2 <= len(word) <= 12)


def _wordpiece(folder: Path, lower: bool) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = [*_characters(), *(f"##{character}" for character in _characters()), *_words()]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*BERT_TOKENS, *pieces]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(BERT_TOKENS)
    names = ("pad", "unk", "cls", "sep", "mask")
    named = {f"{name}_token": token for name, token in zip(names, BERT_TOKENS, strict=True)}
    _save(folder, tokenizer, "bert", {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, **named})


def _unigram(folder: Path) -> None:
    """Like multilingual E5's: SentencePiece's normalisation, words that begin with a mark."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = dict.fromkeys([*_characters(), "▁", *(f"▁{word}" for word in _words())])
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    scored = [(piece, -8.0 - number % 97 / 10) for number, piece in enumerate(pieces) if piece != " "]
    vocabulary = [*((token, 0.0) for token in specials), *scored, ("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(lzma.decompress(CHARSMAP.read_bytes()))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    _add_roberta_tokens(tokenizer)
    _save(folder, tokenizer, "xlm-roberta", {"tokenizer_class": "XLMRobertaTokenizer", **_roberta_names()})


def _byte_bpe(folder: Path) -> None:
    """Like RoBERTa's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = [list(word) for text in TEXTS.values() for word, _ in split.pre_tokenize_str(text)]
    merges = _learn_merges(words)
    pieces = dict.fromkeys([*ROBERTA_TOKENS[:4], *bytes_, *(f"{a}{b}" for a, b in merges), ROBERTA_TOKENS[4]])
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    _add_roberta_tokens(tokenizer)
    _save(folder, tokenizer, "roberta", {"tokenizer_class": "RobertaTokenizer", **_roberta_names()})


def _learn_merges(words: list[list[str]]) -> list[tuple[str, str]]:
    """The commonest neighbours, joined one pair after another; of equals the first by the alphabet."""
    merges: list[tuple[str, str]] = []
    for _ in range(N_MERGES):
        counts = Counter(pair for word in words for pair in pairwise(word))
        pair = min(counts, key=lambda each: (-counts[each], each))
        merges.append(pair)
        words = [_join(word, pair) for word in words]
    return merges


def _join(word: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in word:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _roberta_names() -> dict[str, str]:
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>"}
    return {f"{name}_token": token for name, token in names.items()} | {"mask_token": "<mask>"}


def _add_roberta_tokens(tokenizer: Any) -> None:
    from tokenizers import AddedToken

    tokens = [AddedToken(token, lstrip=token == "<mask>", normalized=False) for token in ROBERTA_TOKENS]
    tokenizer.add_special_tokens(tokens)


def _save(folder: Path, tokenizer: Any, model_type: str, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"model_max_length": 64, **config})
    write_json(folder / "config.json", {"model_type": model_type, "vocab_size": tokenizer.get_vocab_size()})


def write_model(folder: Path, kind: str) -> Path:
    """A BERT of random weights behind the tokenizer of that kind, in safetensors."""
    from safetensors.numpy import save_file

    KINDS[kind](folder)
    n_pieces = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = BERT_CONFIG | {"vocab_size": n_pieces, "max_position_embeddings": 64}
    write_json(folder / "config.json", config)
    save_file(bert_weights(config), str(folder / "model.safetensors"))
    return folder


KINDS: dict[str, Callable[[Path], None]] = {
    "WordPiece, uncased": lambda folder: _wordpiece(folder, lower=True),
    "WordPiece, cased": lambda folder: _wordpiece(folder, lower=False),
    "Unigram": _unigram,
    "BPE of bytes": _byte_bpe,
}


def _changed(kind: str, **changes: Any) -> Callable[[Path], None]:
    """A tokenizer of that kind whose tokenizer_config.json disagrees with its tokenizer.json."""

    def write(folder: Path) -> None:
        KINDS[kind](folder)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        write_json(folder / "tokenizer_config.json", config | changes)

    return write


ADDED = {
    "content": "fox",
    "single_word": False,
    "lstrip": False,
    "rstrip": True,
    "normalized": False,
    "special": False,
}
CONFIGURED: dict[str, Callable[[Path], None]] = {
    "cased by its configuration": _changed("WordPiece, uncased", do_lower_case=False),
    "uncased by its configuration": _changed("WordPiece, cased", do_lower_case=True),
    "accents kept": _changed("WordPiece, uncased", strip_accents=False),
    "ideographs not apart": _changed("WordPiece, uncased", tokenize_chinese_chars=False),
    "generic class": _changed(
        "WordPiece, uncased", do_lower_case=False, tokenizer_class="PreTrainedTokenizerFast"
    ),
    "space before": _changed("BPE of bytes", add_prefix_space=True),
    "more special tokens": _changed("WordPiece, cased", additional_special_tokens=["quick", "über"]),
    "special tokens split": _changed("WordPiece, cased", split_special_tokens=True),
    "cut on the left": _changed("WordPiece, cased", truncation_side="left", model_max_length=8),
}
