"""Writes token_ids.json: what transformers' own tokenizers make of the texts of tests/stand_ins/scripts.

Run once, in an environment of its own; the tests need no transformers:

    pip install transformers==5.24.0 tokenizers==0.23.3
    PYTHONPATH=. python tests/data/make_token_ids.py

`nmt_nfkc.charsmap.xz` beside it is SentencePiece's own normalisation (sentencepiece 0.2.3, Apache-2.0):
`normalizer_spec.precompiled_charsmap` of any model that is trained with `normalization_rule_name="nmt_nfkc"`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import tokenizers
import transformers

from tests.stand_ins.scripts import TEXTS
from tests.stand_ins.tokenizers_of_kinds import CONFIGURED, KINDS


def ask(folder: Path, kind: str) -> dict[str, list[int]]:
    """The ids of each text, cut as a model's text is."""
    (KINDS | CONFIGURED)[kind](folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    return {name: tokenizer(text, truncation=True)["input_ids"] for name, text in TEXTS.items()}


def main(target: Path) -> None:
    """Asks every kind."""
    with tempfile.TemporaryDirectory() as home:
        ids = {kind: ask(Path(home) / str(number), kind) for number, kind in enumerate(KINDS | CONFIGURED)}
    versions = {each.__name__: each.__version__ for each in (transformers, tokenizers)}
    target.write_text(json.dumps({"versions": versions, "ids": ids}, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("token_ids.json"))
