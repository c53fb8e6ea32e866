"""Text that grows token by token: its pieces joined are what the tokenizer makes of all tokens at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from browser_runtime.texts.emission import TextEmitter

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
END = len(LETTERS)


def byte_tokenizer() -> Tokenizer:
    """A token a byte, as byte-level BPE has for characters that it has no token for; one special token."""
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(LETTERS)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer


TOKENIZER = byte_tokenizer()
TOKENS = st.lists(st.integers(0, END), max_size=60)
TEXTS = st.text(st.sampled_from("ab\n né€😀"), max_size=40)


def emit(tokens: Sequence[int], stops: Sequence[str] = (), at_once: int = 1) -> tuple[list[str], str | None]:
    emitter = TextEmitter(TOKENIZER, stops)
    pieces = [emitter.push(tokens[at : at + at_once]) for at in range(0, len(tokens), at_once)]
    return [*pieces, emitter.finish()], emitter.stopped_by


@given(TEXTS, st.integers(1, 5))
def test_pieces_joined_are_the_text(text: str, at_once: int) -> None:
    pieces, _ = emit(TOKENIZER.encode(text).ids, at_once=at_once)
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


@given(TOKENS, st.integers(1, 5))
def test_pieces_of_any_tokens_joined_are_what_the_tokenizer_decodes(tokens: list[int], at_once: int) -> None:
    pieces, _ = emit(tokens, at_once=at_once)
    assert "".join(pieces) == TOKENIZER.decode(tokens, skip_special_tokens=True)


@given(TEXTS, st.lists(st.text("ab\n né", min_size=1, max_size=4), min_size=1, max_size=3), st.integers(1, 5))
def test_the_text_ends_before_the_first_stop_string(text: str, stops: list[str], at_once: int) -> None:
    pieces, stopped_by = emit(TOKENIZER.encode(text).ids, stops, at_once)
    cuts = [at for stop in stops if (at := text.find(stop)) >= 0]
    # A stop string is found as soon as it is whole: one that ends earlier wins over one that starts earlier.
    joined = "".join(pieces)
    assert text.startswith(joined)
    assert (stopped_by is None) == (not cuts)
    if stopped_by is None:
        assert joined == text
    else:
        assert text[len(joined) :].startswith(stopped_by)
        assert not any(stop in joined for stop in stops)


def test_what_may_become_a_stop_string_is_held_back() -> None:
    emitter = TextEmitter(TOKENIZER, ["\n\nUser"])
    assert emitter.push(TOKENIZER.encode("yes\n\nUs").ids) == "yes"
    assert emitter.push(TOKENIZER.encode("ual").ids) == "\n\nUsual"


@pytest.mark.parametrize("text", ["né", "€", "😀"])
def test_half_a_character_waits_for_its_other_half(text: str) -> None:
    tokens = TOKENIZER.encode(text).ids
    pieces, _ = emit(tokens[:-1])
    assert "\N{REPLACEMENT CHARACTER}" in pieces[-1] and not any(pieces[-2:-1])


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=12), max_size=3))
def test_no_more_is_held_back_than_may_begin_a_stop_string(text: str, stops: list[str]) -> None:
    emitter = TextEmitter(TOKENIZER, stops)
    given = ""
    for at, token in enumerate(TOKENIZER.encode(text).ids):
        given += emitter.push([token])
        if emitter.stopped_by is not None:
            break
        held = text[len(given) : at + 1]
        assert not held or any(len(held) < len(stop) and stop.startswith(held) for stop in stops)
        assert not any(
            text[: at + 1].endswith(stop[:n]) for stop in stops for n in range(len(held) + 1, len(stop))
        )


def test_stop_strings_of_the_longest_kind_cost_no_time() -> None:
    """Sixteen of ten thousand letters, each nearly there: some milliseconds a token, not seconds."""
    stops = ["a" * 9_900 + "b" * n for n in range(1, 17)]
    emitter = TextEmitter(TOKENIZER, stops)
    emitter.push(TOKENIZER.encode("a" * 9_800).ids)
    assert emitter.push(TOKENIZER.encode("ac").ids) == "a" * 9_801 + "c"
