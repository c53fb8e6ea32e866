"""A WordPiece vocabulary cut to what the texts need: the teacher's own pieces, fewer of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# BERT's list is sorted by how common a word is; its first words are of use whatever our texts hold.
N_COMMON = 3000
# A piece that the texts hold less often than this cannot be learnt.
FEWEST = 5


def choose_pieces(teacher: Tokenizer, texts: list[str], n_pieces: int) -> list[str]:
    """The special pieces, every printable ASCII character (alone and continuing a word), the common and the
    most used pieces: `n_pieces` at most, so that no English text ends up unknown."""
    counts = Counter(piece for encoded in teacher.encode_batch(texts) for piece in encoded.tokens)
    listed = sorted(teacher.get_vocab().items(), key=lambda pair: pair[1])
    known = [piece for piece, _ in listed if piece.isascii() and not piece.startswith("[")]
    characters = [piece for piece in known if len(piece.removeprefix("##")) == 1]
    words = [piece for piece in known if piece.isalpha() and len(piece) > 1]
    used = [piece for piece, count in counts.most_common() if count >= FEWEST and piece.isascii()]
    return list(dict.fromkeys([*SPECIAL, *characters, *words[:N_COMMON], *used]))[:n_pieces]


def write_tokenizer(teacher: Path, folder: Path, pieces: list[str], max_tokens: int) -> Tokenizer:
    """The teacher's tokenizer with only `pieces`, written to `folder`; returned as it will be loaded."""
    plain = json.loads((teacher / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {piece: index for index, piece in enumerate(pieces)}
    plain["model"]["vocab"] = ids
    plain["added_tokens"] = [entry | {"id": ids[entry["content"]]} for entry in plain["added_tokens"]]
    for name, entry in plain["post_processor"]["special_tokens"].items():
        entry["ids"] = [ids[name]]
    plain["truncation"], plain["padding"] = None, None
    path = folder / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=ids[SPECIAL[0]], pad_token=SPECIAL[0])
    return tokenizer


def describe_tokenizer(max_tokens: int) -> dict[str, object]:
    """`tokenizer_config.json`."""
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": max_tokens,
        "tokenize_chinese_chars": True,
        "clean_up_tokenization_spaces": True,
        **name_special(),
    }


def name_special() -> dict[str, str]:
    """`special_tokens_map.json`."""
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return dict(zip(names, SPECIAL, strict=True))
