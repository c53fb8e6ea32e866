"""The text that sentences-bert learns from: WordNet's glosses and examples, and everyday sentences."""

from __future__ import annotations

import random
import re
from pathlib import Path

from training.everyday import say_something

# Debian package wordnet-base, WordNet 3.0 (WordNet licence: free to use, copy, modify and distribute).
WORDNET = Path("/usr/share/wordnet")
PARTS = ("noun", "verb", "adj", "adv")
N_EVERYDAY = 30_000
N_GLOSSES = 30_000
N_TOGETHER = 5_000
EXAMPLE = re.compile(r'"([^"]{8,200})"')


def collect(seed: int) -> list[str]:
    """All training texts, shuffled: no text twice."""
    chance = random.Random(seed)
    glosses, examples = read_wordnet()
    chosen = chance.sample(glosses, N_GLOSSES)
    everyday = [say_something(chance) for _ in range(N_EVERYDAY)]
    # Longer texts, so that later positions are trained too.
    together = [" ".join(chance.choices(examples, k=chance.randint(2, 8))) for _ in range(N_TOGETHER)]
    texts = sorted({*chosen, *examples, *everyday, *together})
    chance.shuffle(texts)
    return texts


def read_wordnet() -> tuple[list[str], list[str]]:
    """WordNet's definitions as "word: definition", and its example sentences."""
    glosses, examples = [], []
    for part in PARTS:
        for line in (WORDNET / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if " | " not in line or line.startswith("  "):
                continue
            fields, gloss = line.split(" | ", 1)
            word = fields.split()[4].replace("_", " ").split("(")[0]
            examples += EXAMPLE.findall(gloss)
            glosses.append(f"{word}: {gloss.split('; ' + chr(34))[0].strip()}")
    return glosses, examples
