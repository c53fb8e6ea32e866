"""A streamed reply in Redis: one stream a request, an entry for each piece.

An entry says where its text begins in the whole text and where its tokens begin among all, so a reader knows
what it has already and a worker that runs the request again goes on where the one before it ended.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.pieces import Piece

# The field of the entry that a stream ends with.
END = b"end"


@dataclass(frozen=True, slots=True)
class PieceEntry:
    """One piece and its place in the reply."""

    piece: Piece
    n_tokens: int
    """Tokens before it."""
    n_characters: int
    """Characters before it."""

    def to_redis(self) -> Any:
        """The fields of the entry."""
        return {
            b"tokens": array("i", self.piece.tokens).tobytes(),
            b"text": self.piece.text.encode(),
            b"made": repr(self.piece.made_ms),
            b"at": f"{self.n_tokens} {self.n_characters}",
        }

    def is_followed_by(self, other: PieceEntry) -> bool:
        """True if `other` begins where this one ends."""
        n_tokens = self.n_tokens + len(self.piece.tokens)
        n_characters = self.n_characters + len(self.piece.text)
        return (n_tokens, n_characters) == (other.n_tokens, other.n_characters)

    def join(self, other: PieceEntry) -> PieceEntry:
        """This one and the one behind it as one."""
        tokens, text = self.piece.tokens + other.piece.tokens, self.piece.text + other.piece.text
        return PieceEntry(Piece(tokens, text, self.piece.made_ms), self.n_tokens, self.n_characters)

    @classmethod
    def from_redis(cls, fields: dict[bytes, bytes]) -> PieceEntry:
        """The entry with these fields. Raises ValueError for what no worker of ours has written."""
        try:
            n_tokens, n_characters = map(int, fields[b"at"].split())
            tokens = array("i")
            tokens.frombytes(fields[b"tokens"])
            piece = Piece(tuple(tokens), fields[b"text"].decode(), float(fields[b"made"]))
            return cls(piece, n_tokens, n_characters)
        except KeyError as error:
            raise ValueError(f"the entry lacks {error}") from error


def read_entries(found: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[PieceEntry]:
    """The entries as XRANGE gives them, without its end and without what is no entry."""
    entries = []
    for _, fields in found:
        try:
            entries.append(PieceEntry.from_redis(fields))
        except ValueError:
            continue
    return entries


def join_tokens(entries: Sequence[PieceEntry]) -> tuple[int, ...]:
    """The tokens that follow each other without a gap from the first on, each counted once."""
    tokens: list[int] = []
    for entry in entries:
        if entry.n_tokens > len(tokens):
            break
        tokens.extend(entry.piece.tokens[len(tokens) - entry.n_tokens :])
    return tuple(tokens)
