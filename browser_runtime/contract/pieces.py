"""Pieces of a reply that is generated token by token, and who takes them while it grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that were generated together, and the text that they complete."""

    tokens: tuple[int, ...]
    text: str
    """Whole characters only; empty where the tokens complete none."""
    made_ms: float = 0.0
    """Unix time in milliseconds at which the page had the first of its tokens; 0 where it was made before."""


class PieceSink(Protocol):
    """Takes the pieces of one reply, in order. Called on the pool's loop, so it must not wait."""

    def begin(self) -> Sequence[int]:
        """A run begins: the tokens that earlier runs of the same request have given. It goes on behind them,
        and gives them once more first.
        """

    def put(self, piece: Piece) -> None:
        """Take the next piece. Never raises: a piece that gets lost comes with the reply."""


class PieceMemory:
    """Keeps the tokens of a reply that nobody reads as it grows: a run that is lost is gone on with."""

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        self._tokens = list(tokens)
        self.n_tokens = self.n_characters = 0
        """What this run has given so far."""

    def begin(self) -> tuple[int, ...]:
        """The tokens of earlier runs."""
        self.n_tokens = self.n_characters = 0
        return tuple(self._tokens)

    def put(self, piece: Piece) -> None:
        """Remember the piece's tokens, unless an earlier run gave them."""
        self._tokens.extend(piece.tokens[max(len(self._tokens) - self.n_tokens, 0) :])
        self.n_tokens += len(piece.tokens)
        self.n_characters += len(piece.text)


TokenListener = Callable[[int, Sequence[int], float], bool]
"""Called with an item's place in its call, the tokens that were generated for it and the page's time of them
(Unix, milliseconds); True ends the item."""
