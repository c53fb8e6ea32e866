"""The cells of a matrix: their places, their times or why there are none, and all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.models.store import StoredModel
from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.documents import Document, make_document

MEASURED, WRONG, NOT_RUN = "measured", "wrong", "not run"
# Of loading, compiling and warming up, unless another time is asked for: software GPUs compile for long.
LOAD_S = 30.0


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The place of a cell."""

    model: str
    precision: str
    batch: int
    length: int | None
    browser: str
    backend: str


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell: its times, or the reason why there are none."""

    at: Coordinates
    status: str
    note: str = ""
    """The reason of a cell that was not run; what is wrong with a wrong one."""
    p50_ms: float | None = None
    """A request of the whole batch: in the page, and the way there and back."""
    low_ms: float | None = None
    high_ms: float | None = None
    """The quartiles."""
    n_runs: int = 0
    ready_ms: float | None = None
    """Load, compile and warm-up."""
    closeness: float | None = None
    """To Python's onnxruntime in the same precision: the cosine, or 1 less a score's difference."""
    build: str = ""
    adapter: str = ""
    revision: str = ""
    """The model's; empty where it did not run."""

    def to_row(self) -> dict[str, Any]:
        """One flat row."""
        plain = asdict(self)
        place: dict[str, Any] = plain.pop("at")
        return place | plain

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> MatrixCell:
        """The inverse of `to_row`."""
        places = {name: row[name] for name in Coordinates.__dataclass_fields__}
        rest = {name: value for name, value in row.items() if name not in places}
        return cls(Coordinates(**places), **rest)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    models: tuple[str, ...]
    browsers: tuple[Browser, ...]
    backends: tuple[Backend, ...]
    precisions: tuple[Precision, ...]
    """None: the usual one of each model."""
    batches: tuple[int, ...]
    lengths: tuple[int | None, ...]
    cell_s: float
    """The longest that a cell runs once its model is ready."""
    ready_s: float = LOAD_S
    """The longest that its model may take to be ready."""

    def coordinates(self, models: Mapping[str, StoredModel]) -> Iterator[Coordinates]:
        """Every cell, those of a session and model together."""
        for browser, name in product(self.browsers, self.models):
            usual = Arm("", name).precision_for(models[name].family.model_types[0])
            places = product(self.backends, self.precisions or (usual,), self.batches, self.lengths)
            for backend, precision, batch, length in places:
                yield Coordinates(name, str(precision), batch, length, str(browser), str(backend))


@dataclass(slots=True)
class Matrix:
    """The cells so far."""

    plan: Plan
    cells: dict[Coordinates, MatrixCell] = field(default_factory=dict)
    n_planned: int = 0

    @property
    def is_complete(self) -> bool:
        """True once every cell was run or has its reason."""
        return len(self.cells) >= self.n_planned

    def _quickest(self) -> Iterator[str]:
        """The quickest right cell of each model."""
        for name in self._models():
            right = [
                c for c in self.cells.values() if c.at.model == name and c.status == MEASURED and c.p50_ms
            ]
            if right:
                best = min(right, key=lambda cell: cell.p50_ms or 0.0)
                yield f"{name} quickest on {best.at.browser} {best.at.backend}: {best.p50_ms:.1f} ms"

    def _models(self) -> list[str]:
        """Those asked for, and behind them others of the file that was gone on with."""
        return list(dict.fromkeys([*self.plan.models, *(at.model for at in self.cells)]))

    def document(self) -> Document:
        """The matrix as it is now."""
        found = list(self.cells.values())
        counts = {name: sum(cell.status == name for cell in found) for name in (MEASURED, WRONG, NOT_RUN)}
        told = ", ".join(f"{n} {name}" for name, n in counts.items())
        verdict = "; ".join([f"{len(found)} of {self.n_planned} cells: {told}", *self._quickest()])
        body = {
            "models": self._models(),
            "cell_s": self.plan.cell_s,
            "ready_s": self.plan.ready_s,
            "is_complete": self.is_complete,
            "cells": [cell.to_row() for cell in found],
        }
        return make_document("matrix", verdict, body)
