"""Rows of the laboratory's experiments, a document of every kind, with names that are markup."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Browser
from tasks.telemetry import Row
from tests.unit.laboratory.made_up import comparison
from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.comparing import Limits
from webinfer.bench.laboratory.documents import Document, comparison_document, make_document
from webinfer.bench.laboratory.estimates import Interval
from webinfer.bench.laboratory.gate import CellResult, Status, gate_document
from webinfer.bench.laboratory.gate_repeats import Repeats
from webinfer.bench.laboratory.gate_set import GateCell, GateSet
from webinfer.bench.laboratory.keeping import experiment_row
from webinfer.bench.laboratory.load import LoadResult
from webinfer.bench.laboratory.matrix_cells import (
    MEASURED,
    NOT_RUN,
    WRONG,
    Coordinates,
    Matrix,
    MatrixCell,
    Plan,
)


def make_documents(name: str) -> list[Document]:
    """A comparison, a matrix, a gate and a load in which everything that has a name is called `name`."""
    gate, load = _gate(name), _load(name)
    return [comparison_document(comparison(1.1)), _matrix(name), gate, load, _repeats(name)]


def _matrix(name: str) -> Document:
    def at(browser: str, backend: str) -> Coordinates:
        return Coordinates(name, "fp32", 1, None, browser, backend)

    cells = [
        MatrixCell(at("chrome", "wasm"), MEASURED, "", 2.0, 1.9, 2.1, 50, 300.0, 1.0, name, name),
        MatrixCell(at("chrome", "webgpu"), MEASURED, "", 20.0, 19.0, 21.0, 50, 900.0, 1.0),
        MatrixCell(at("edge", "webnn"), WRONG, name, 1.0, 0.9, 1.1, 50, 300.0, 0.0),
        MatrixCell(at("firefox", "webnn"), NOT_RUN, f"no {name}"),
    ]
    plan = Plan((name,), tuple(Browser), PAGE_BACKENDS, (), (1,), (None,), 1.0)
    return Matrix(plan, {cell.at: cell for cell in cells}, len(cells)).document()


def _gate(name: str) -> Document:
    return gate_document(*_gate_run(name))


def _gate_run(name: str) -> tuple[GateSet, list[CellResult]]:
    cell = GateCell(name, Arm(name, name), None, 0.05, Limits())
    ratio = Interval(1.01, 0.98, 1.04, 6)
    results = [CellResult(cell, Status.PASSED, "no difference", ratio), CellResult(cell, Status.WRONG, name)]
    return GateSet(name, (cell,)), results


def _repeats(name: str) -> Document:
    wanted, results = _gate_run(name)
    repeats = Repeats(wanted, 2)
    repeats.note(results[:1])
    repeats.note(results)
    return repeats.document()


def _load(name: str) -> Document:
    runs = [LoadResult(rate, 10.0, [rate] * 100, n_sent=100, answered_per_s=rate) for rate in (5.0, 10.0)]
    runs.append(LoadResult(20.0, 10.0, [900.0] * 100, Counter({name: 2}), 102, is_overloaded=True))
    body = {"models": [name], "browser": "chrome", "pattern": "poisson", "limit_ms": 500.0}
    body |= {"carried_per_s": 10.0, "ran": {}, "runs": [run.to_plain() for run in runs]}
    return make_document("load", f"10 requests/s hold {name}", body)


def experiment_rows(name: str, at_s: float) -> list[Row]:
    """The rows of all kinds that ended at `at_s`, and of two with a document that makes no sense."""
    rows = [experiment_row(document) for document in make_documents(name)]
    odd: dict[str, Any] = dict(rows[1][1])
    for wrong in (
        '{"version": 1, "kind": "matrix", "cells": [5]}',
        json.dumps({"version": 99, "kind": name}),
    ):
        rows.append(("experiments", odd | {"document": wrong, "verdict": f"odd {name}"}))
    return [(table, {**row, "at": at_s - nth}) for nth, (table, row) in enumerate(rows)]
