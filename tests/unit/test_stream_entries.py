"""Entries of a streamed reply: joined or written again, they hold the same tokens once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.pieces import Piece
from tasks.streaming.entries import PieceEntry, join_tokens, read_entries

PIECES = st.lists(
    st.tuples(st.lists(st.integers(0, 99), max_size=3), st.text("aé\n😀", max_size=4)), max_size=8
)


def entries_of(pieces: list[tuple[list[int], str]]) -> list[PieceEntry]:
    """The entries that one run writes."""
    entries, n_tokens, n_characters = [], 0, 0
    for tokens, text in pieces:
        entries.append(PieceEntry(Piece(tuple(tokens), text), n_tokens, n_characters))
        n_tokens, n_characters = n_tokens + len(tokens), n_characters + len(text)
    return entries


@given(PIECES, st.integers(0, 8))
def test_entries_that_follow_each_other_are_one(pieces: list[tuple[list[int], str]], n_first: int) -> None:
    entries = entries_of(pieces)
    joined = PieceEntry(Piece((), ""), 0, 0)
    for entry in entries:
        assert joined.is_followed_by(entry)
        joined = joined.join(entry)
    assert joined.piece.text == "".join(text for _, text in pieces)
    assert joined.piece.tokens == join_tokens([*entries[:n_first], *entries])
    if joined.piece.tokens or joined.piece.text:
        assert not joined.is_followed_by(entries[0]) or entries[0] == PieceEntry(Piece((), ""), 0, 0)


@given(PIECES)
def test_an_entry_is_read_as_it_was_written(pieces: list[tuple[list[int], str]]) -> None:
    entries = entries_of(pieces)
    written = [
        {
            key: value if isinstance(value, bytes) else value.encode()
            for key, value in entry.to_redis().items()
        }
        for entry in entries
    ]
    assert read_entries([(b"1-0", fields) for fields in [*written, {b"end": b"1"}, {b"at": b"x"}]]) == entries
