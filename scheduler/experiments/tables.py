"""The document of an experiment as a table of cells. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

# The heat of a cell, from 0, the quickest of its row, to this, ten times as slow.
HOTTEST = 10
NONE, WRONG = "none", "wrong"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value."""

    text: str
    detail: str = ""
    """Its spread."""
    place: str = ""
    """Where it was measured."""
    mark: str = ""
    """NONE where nothing was measured, WRONG, or heat-0 to heat-10."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and the line below its name."""

    name: str
    below: str = ""
    is_number: bool = True

    @property
    def title(self) -> str:
        """Both in one line."""
        return f"{self.name} {self.below}".strip()


@dataclass(frozen=True, slots=True)
class ResultTable:
    """What an experiment measured; the first cell of a row is its name."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    """Numbered from 1, as the cells name them."""
    legend: str = ""
    picture: str = ""
    """SVG that was drawn from the same figures."""


def texts(*values: str) -> list[Cell]:
    """Cells of text alone."""
    return [Cell(value) for value in values]


def show_ratio(ratio: Mapping[str, Any] | None) -> tuple[str, str]:
    """A ratio and the ends of its interval, as documents hold them."""
    if ratio is None or ratio["n"] < 2:
        return "-", "-"
    if ratio["low"] is None or ratio["high"] is None:
        return f"{ratio['ratio']:.3f}", "too wide"
    return f"{ratio['ratio']:.3f}", f"{ratio['low']:.3f} .. {ratio['high']:.3f}"
