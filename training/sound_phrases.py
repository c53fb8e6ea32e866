"""English phrases about digits that are heard: which, spoken or dialled, and what is true of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from training.digit_phrases import FACTS, NAMES

# A digit, however it sounds. The third is that of transformers' pipeline.
ANY = (
    *(
        "{}",
        "the digit {}",
        "This is a sound of {}.",
        "the sound of {}",
        "the number {}",
        "the sound of a {}",
    ),
    *("I hear {}", "a recording of {}", "a sound of the digit {}", "number {}", "{}.", "a {}"),
)
# A digit that sounds one way; the second of each way's names the way alone.
SPOKEN = (
    *("someone says {}", "a spoken {}", "a voice saying {}", "a person says {}", "the spoken digit {}"),
    *("This is a sound of a spoken {}.", "a human voice says {}", "somebody speaks the number {}"),
)
DIALLED = (
    *(
        "a dialled {}",
        "the telephone key {}",
        "someone dials {}",
        "the tone of the key {}",
        "a phone dials {}",
    ),
    *("This is a sound of a dialled {}.", "a telephone tone for {}", "somebody presses the key {}"),
)
WAYS = (
    ("a human voice", "someone speaking", "a person speaks", "speech", "a spoken word"),
    ("a telephone tone", "a phone key", "dialling", "a beep", "a key of a telephone"),
)
FRAMES = ("{}", "the sound of {}", "This is a sound of {}.", "a recording of {}", "{}.", "I hear {}")


def describe_any(digit: int, random: Random) -> str:
    """A phrase that names the digit and not how it sounds."""
    return _fill(ANY, digit, random)


def describe_way(digit: int, way: int, random: Random) -> str:
    """A phrase that names the digit, spoken (0) or dialled (1)."""
    return _fill((SPOKEN, DIALLED)[way], digit, random)


def describe_sound(way: int, random: Random) -> str:
    """A phrase for any spoken (0) or dialled (1) digit."""
    return _cased(random.choice(FRAMES).format(random.choice(WAYS[way])), random)


def describe_fact(fact: int, side: int, random: Random) -> str:
    """A phrase that says one side of a fact."""
    return _cased(random.choice(FRAMES).format(random.choice(FACTS[fact][side])), random)


def every_phrase() -> Sequence[str]:
    """All phrases there are, for the tokenizer."""
    names = (*NAMES, *map(str, range(10)))
    named = [template.format(name) for template in (*ANY, *SPOKEN, *DIALLED) for name in names]
    facts = [words for ways in FACTS for side in ways[:2] for words in side]
    said = [frame.format(words) for frame in FRAMES for words in (*facts, *WAYS[0], *WAYS[1])]
    return [*named, *said, *map(str.capitalize, (*named, *said))]


def _fill(templates: Sequence[str], digit: int, random: Random) -> str:
    return _cased(random.choice(templates).format(random.choice((NAMES[digit], str(digit)))), random)


def _cased(phrase: str, random: Random) -> str:
    return phrase.capitalize() if random.random() < 0.2 else phrase
