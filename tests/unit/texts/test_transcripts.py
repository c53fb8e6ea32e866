"""Tokens of transcripts as text: what transformers reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadRequest
from browser_runtime.texts.transcripts import TranscriptReader
from tests.stand_ins.tiny_models import write_json

# Made by transformers itself: tests/page/fixtures/make_whisper_values.py.
STORED = json.loads((Path(__file__).parents[2] / "page/fixtures/whisper_values.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "tokenizer.json", STORED["tokenizer"])
    # Cleaning is for WordPiece; transformers ignores it for Whisper's BPE, other readers do not.
    write_json(tmp_path / "tokenizer_config.json", {"clean_up_tokenization_spaces": True})
    return tmp_path


def test_texts_are_those_of_transformers(folder: Path) -> None:
    reader = TranscriptReader(folder)
    assert len(STORED["texts"]) >= 6
    for case in STORED["texts"]:
        assert reader.read(case["tokens"]) == case["text"].strip()


def test_a_special_token_that_only_the_companion_names_is_left_out(folder: Path) -> None:
    write_json(folder / "tokenizer_config.json", {"additional_special_tokens": ["<|0.00|>", "<|hm|>"]})
    reader = TranscriptReader(folder)
    assert reader.read([STORED["tokenizer"]["added_tokens"][-1]["id"] + 1]) == ""


def test_a_tokenizer_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(BadRequest, match=r"tokenizer\.json"):
        (folder / "tokenizer.json").write_text("{}")
        TranscriptReader(folder)
