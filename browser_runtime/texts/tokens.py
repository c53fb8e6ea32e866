"""A text as its model reads it: what goes to the page instead of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Token ids [tokens], special tokens included, cut to what the model takes."""

    ids: Ids
    segments: Ids | None
    """The segment of each token [tokens]; None if all belong to the first."""
    truncated: bool
    n_prompt: int = 0
    """The first tokens that take no part in pooling: those of a prompt that is to be left out."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes in a frame."""
        return self.ids.nbytes + (0 if self.segments is None else self.segments.nbytes)

    def to_wire(self) -> dict[str, object]:
        """Plain values and arrays, as the page takes them."""
        return {
            "ids": self.ids,
            "segments": self.segments,
            "truncated": self.truncated,
            "n_prompt": self.n_prompt,
        }
