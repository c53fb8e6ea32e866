"""Texts in many scripts, against the ids that transformers' own tokenizers give them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.texts.tokenizer import TextTokenizer
from tests.stand_ins.scripts import TEXTS
from tests.stand_ins.tiny_models import write_json
from tests.stand_ins.tokenizers_of_kinds import CONFIGURED, KINDS

IDS = json.loads((Path(__file__).parents[2] / "data/token_ids.json").read_text())["ids"]


def change_config(folder: Path, **changes: object) -> Path:
    """The folder, its tokenizer_config.json changed."""
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | changes)
    return folder


@pytest.fixture
def cased(tmp_path: Path) -> Path:
    """A folder with a cased WordPiece tokenizer."""
    KINDS["WordPiece, cased"](tmp_path)
    return tmp_path


def test_there_are_texts_of_many_scripts() -> None:
    assert len(TEXTS) >= 45
    assert set(IDS) == {*KINDS, *CONFIGURED}


@pytest.mark.parametrize("kind", IDS)
def test_ids_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    """The plain kinds, and those whose tokenizer_config.json says other than their tokenizer.json."""
    (KINDS | CONFIGURED)[kind](tmp_path)
    limit = json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"]
    found = TextTokenizer(tmp_path, limit).encode(list(TEXTS.values()), "texts")
    wrong = {
        name: (tokens.ids.tolist(), IDS[kind][name])
        for name, tokens in zip(TEXTS, found, strict=True)
        if tokens.ids.tolist() != IDS[kind][name]
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"do_lower_case": "yes"},
            "do_lower_case of tokenizer_config.json is 'yes', but must be true or false",
        ),
        ({"truncation_side": "middle"}, "truncation_side of .* is 'middle', but must be left or right"),
        (
            {"add_eos_token": True, "eos_token": "[MASK]"},
            r"add_eos_token of .* is True, but must be false, or '\[MASK\]' put there by tokenizer.json",
        ),
        (
            {"added_tokens_decoder": {"7": {"content": "[MASK]", "special": True}}},
            r"added_tokens_decoder of .*\[MASK\].*, but must be tokenizer.json's id, 4",
        ),
        ({"mask_token": 5}, "mask_token of .* is 5, but must be a token"),
        (
            {"additional_special_tokens": 5},
            "additional_special_tokens of .* must be a list of tokens",
        ),
        (
            {"added_tokens_decoder": ["x"]},
            "added_tokens_decoder of .* tokens with their flags, by id",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(cased: Path, changes: dict, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        TextTokenizer(change_config(cased, **changes), 8)


def test_keys_that_nobody_knows_are_told(cased: Path) -> None:
    assert TextTokenizer(cased).config.unknown_keys == []
    assert TextTokenizer(change_config(cased, prefix_tokens=[3])).config.unknown_keys == ["prefix_tokens"]


def test_segments_are_told_where_the_model_takes_them(cased: Path) -> None:
    """As XLNet's, which has a segment of its own for the closing token."""
    path = cased / "tokenizer.json"
    plain = json.loads(path.read_text())
    plain["post_processor"]["single"][-1]["SpecialToken"]["type_id"] = 2
    write_json(path, plain)
    (tokens,) = TextTokenizer(cased).encode(["fox"], "texts")
    assert tokens.segments is not None
    assert tokens.segments.tolist() == [0, 0, 0, 0, 2]
    names = ["input_ids", "attention_mask"]
    (tokens,) = TextTokenizer(change_config(cased, model_input_names=names)).encode(["fox"], "texts")
    assert tokens.segments is None


def test_a_letter_without_a_token_is_refused_where_none_stands_for_unknown(tmp_path: Path) -> None:
    KINDS["WordPiece, cased"](tmp_path)
    path = tmp_path / "tokenizer.json"
    plain = json.loads(path.read_text())
    del plain["model"]["vocab"][plain["model"]["unk_token"]]
    plain["added_tokens"] = []
    write_json(path, plain)
    words = r"texts\[1\] is a text that the model's tokenizer.json has no tokens for \(.*unk.*\), but must be"
    with pytest.raises(BadInput, match=f"(?i){words}"):
        TextTokenizer(tmp_path).encode(["fox \U0001f590"], "texts[1]")
