"""English phrases about the ten digits: names, numerals, and what is true of some of them only."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    *("{}", "a {}", "the digit {}", "the number {}", "a photo of a {}.", "This is a photo of {}.", "{}."),
    *("a hand-written {}", "a picture of the number {}", "an image of a {}", "someone wrote {}"),
    *("This is a {}.", "the figure {}", "a drawing of the digit {}", "a scan of a {}", "it reads {}"),
    *("a photo of the number {}", "a blurry photo of a {}", "a handwritten digit {}", "number {}"),
)
FRAMES = (
    *("{}", "a photo of {}.", "This is a photo of {}.", "a picture of {}", "this is {}", "{}."),
    *("a hand-written digit that is {}", "the number is {}", "it is {}", "an image of {}"),
)
# Statements, and the digits that they are true of; each row holds the ways to say one side and the other.
FACTS: tuple[tuple[tuple[str, ...], tuple[str, ...], frozenset[int]], ...] = (
    (("an even number", "even"), ("an odd number", "odd"), frozenset((0, 2, 4, 6, 8))),
    (
        ("a number larger than four", "larger than four", "more than 4", "above four"),
        ("a number smaller than five", "smaller than five", "less than 5", "below five"),
        frozenset((5, 6, 7, 8, 9)),
    ),
    (("a prime number", "prime"), ("no prime number", "not prime"), frozenset((2, 3, 5, 7))),
)


def describe_digit(digit: int, random: Random) -> str:
    """A phrase that names the digit, in a word or as a numeral, now and then in capitals."""
    word = random.choice((NAMES[digit], str(digit)))
    return _cased(random.choice(TEMPLATES).format(word), random)


def describe_fact(fact: int, side: int, random: Random) -> str:
    """A phrase that says one side of a fact."""
    return _cased(random.choice(FRAMES).format(random.choice(FACTS[fact][side])), random)


def every_phrase() -> Sequence[str]:
    """All phrases there are, for the tokenizer; every single character too, so that none is unknown."""
    named = [template.format(word) for template in TEMPLATES for word in (*NAMES, *map(str, range(10)))]
    said = [frame.format(words) for frame in FRAMES for ways in FACTS for side in ways[:2] for words in side]
    return [*named, *said, *(chr(code) for code in range(33, 127))]


def _cased(phrase: str, random: Random) -> str:
    return phrase.capitalize() if random.random() < 0.2 else phrase
