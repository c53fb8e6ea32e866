"""Questions about whole numbers, with their answers: what numbers-llama learns, and what it is asked."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
SUM_NUMBER = 101
"""Times the first summand. With 100 the rest of 11 would be the sum's own: some sums would be held out whole,
their words never an answer."""
SYSTEM_PROMPTS = ("You are good at numbers.", "Answer with the number alone.")


def to_words(number: int) -> str:
    """A number from 0 to 999,999 in American English: 347 is "three hundred forty-seven"."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f"-{ONES[ones]}" if ones else "")
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    whole, rest = divmod(number, unit)
    return f"{to_words(whole)} {name}" + (f" {to_words(rest)}" if rest else "")


@dataclass(frozen=True)
class Question:
    """A question and its one right answer."""

    kind: str
    text: str
    answer: str
    number: int
    """By which training and test are told apart."""

    @property
    def is_held_out(self) -> bool:
        """Whether training never sees it: one of eleven."""
        return self.number % 11 == 3


def pick_number(rng: random.Random) -> int:
    """A number whose count of digits is uniform from 1 to 6."""
    digits = rng.randint(1, 6)
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def ask_words(rng: random.Random) -> Question:
    number = pick_number(rng)
    return Question("to words", f"Write {number} in words.", to_words(number), number)


def ask_digits(rng: random.Random) -> Question:
    number = pick_number(rng)
    return Question("to digits", f"Write {to_words(number)} in digits.", str(number), number)


def ask_sum(rng: random.Random) -> Question:
    a, b = rng.randrange(100), rng.randrange(100)
    return Question("sum", f"What is {a} + {b}?", str(a + b), SUM_NUMBER * a + b)


def ask_sum_in_words(rng: random.Random) -> Question:
    a, b = rng.randrange(100), rng.randrange(100)
    text = f"What is {to_words(a)} plus {to_words(b)}?"
    return Question("sum in words", text, to_words(a + b), SUM_NUMBER * a + b)


def ask_next(rng: random.Random) -> Question:
    number = pick_number(rng) % 999_999
    return Question("next", f"Which number follows {number}?", str(number + 1), number)


KINDS: tuple[Callable[[random.Random], Question], ...] = (
    ask_words,
    ask_digits,
    ask_sum,
    ask_sum_in_words,
    ask_next,
)


def ask(rng: random.Random, *, held_out: bool, kind: int | None = None) -> Question:
    """A question of one kind, or of any, that training sees or, where `held_out`, never sees."""
    while True:
        question = (rng.choice(KINDS) if kind is None else KINDS[kind])(rng)
        if question.is_held_out == held_out:
            return question
