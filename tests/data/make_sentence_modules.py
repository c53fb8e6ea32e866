"""Writes sentence_modules.json: what sentence-transformers answers for the models of tests/stand_ins/sentence_models.

Run once, in an environment of its own; the tests need neither torch nor sentence-transformers:

    pip install torch==2.13.0 sentence-transformers==6.2.0
    PYTHONPATH=. python tests/data/make_sentence_modules.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import sentence_transformers
import tokenizers
import torch
import transformers

from tests.stand_ins.sentence_models import TEXTS, VARIANTS, calls_of, write_variant

NAMES = {"dimensions": "truncate_dim", "normalize": "normalize_embeddings"}


def ask(folder: Path, variant: str) -> list[dict]:
    """The answers to each of the variant's calls, text by text, so that no padding takes part."""
    model = sentence_transformers.SentenceTransformer(str(write_variant(folder, variant)), device="cpu")
    answers = []
    for options in calls_of(variant):
        told = {NAMES.get(name, name): value for name, value in options.items()}
        rows = [model.encode(text, show_progress_bar=False, **told) for text in TEXTS]
        embeddings = [[float(f"{number:.8g}") for number in row] for row in rows]
        answers.append({"options": options, "embeddings": embeddings})
    return answers


def main(target: Path) -> None:
    """Asks every variant."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        answers = {name: ask(Path(home) / str(n), name) for n, name in enumerate(VARIANTS)}
    modules = (torch, transformers, tokenizers, sentence_transformers)
    document = {"versions": {each.__name__: each.__version__ for each in modules}, "answers": answers}
    target.write_text(json.dumps(document, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("sentence_modules.json"))
