"""Questions about one or two pictures of hand-written digits, with their answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.digit_phrases import NAMES
from training.number_words import to_words

PRIMES = (2, 3, 5, 7)


@dataclass(frozen=True)
class Question:
    """A question and its one right answer."""

    kind: str
    text: str
    answer: str


Asking = Callable[[Sequence[int], random.Random], Question]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _number(rng: random.Random) -> tuple[int, str]:
    number = rng.randrange(10)
    return number, rng.choice((NAMES[number], str(number)))


def ask_digit(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Which digit is this?", "What digit is this?", "Which digit is it?", "What number is it?")
    return Question("which digit", rng.choice(asked), NAMES[digits[-1]])


def ask_numeral(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Write it as a numeral.", "Write the digit as a numeral.")
    return Question("as a numeral", rng.choice(asked), str(digits[-1]))


def ask_larger(digits: Sequence[int], rng: random.Random) -> Question:
    number, word = _number(rng)
    asked = (f"Is it larger than {word}?", f"Is this more than {word}?", f"Is the digit larger than {word}?")
    return Question("larger than", rng.choice(asked), _yes(digits[-1] > number))


def ask_smaller(digits: Sequence[int], rng: random.Random) -> Question:
    number, word = _number(rng)
    asked = (f"Is it smaller than {word}?", f"Is this less than {word}?")
    return Question("smaller than", rng.choice(asked), _yes(digits[-1] < number))


def ask_even(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Is it even?", "Is this an even number?", "Is the digit even?")
    return Question("even", rng.choice(asked), _yes(digits[-1] % 2 == 0))


def ask_odd(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Is it odd?", "Is this an odd number?")
    return Question("odd", rng.choice(asked), _yes(digits[-1] % 2 == 1))


def ask_prime(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Is it prime?", "Is this a prime number?")
    return Question("prime", rng.choice(asked), _yes(digits[-1] in PRIMES))


def ask_next(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Which number follows it?", "What comes next?")
    return Question("what follows", rng.choice(asked), to_words(digits[-1] + 1))


def ask_description(digits: Sequence[int], rng: random.Random) -> Question:
    digit = digits[-1]
    kind = ("even" if digit % 2 == 0 else "odd") + (" prime" if digit in PRIMES else "")
    asked = ("Describe the picture.", "What do you see?")
    return Question("describe", rng.choice(asked), f"A hand-written {NAMES[digit]}, an {kind} number.")


def ask_which_larger(digits: Sequence[int], rng: random.Random) -> Question:
    first, second = digits
    answer = "the first" if first > second else "the second" if second > first else "neither"
    asked = ("Which is larger?", "Which one is larger?", "Which of the two is larger?")
    return Question("which is larger", rng.choice(asked), answer)


def ask_sum(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("What is their sum?", "What do they add up to?")
    return Question("their sum", rng.choice(asked), to_words(sum(digits)))


def ask_equal(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Are they equal?", "Is it the same digit twice?")
    return Question("are they equal", rng.choice(asked), _yes(digits[0] == digits[1]))


def ask_both(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("Which digits are these?", "What are they?")
    return Question("which digits", rng.choice(asked), " and ".join(NAMES[digit] for digit in digits))


def ask_count(digits: Sequence[int], rng: random.Random) -> Question:
    asked = ("How many pictures are there?", "How many pictures do you see?")
    return Question("how many", rng.choice(asked), ("none", "one", "two")[len(digits)])


ABOUT_ONE: tuple[Asking, ...] = (
    *(ask_digit, ask_numeral, ask_larger, ask_smaller, ask_even, ask_odd, ask_prime, ask_next),
    *(ask_description, ask_count),
)
ABOUT_TWO: tuple[Asking, ...] = (
    *(ask_both, ask_which_larger, ask_which_larger, ask_sum, ask_sum, ask_equal, ask_both, ask_count),
)
