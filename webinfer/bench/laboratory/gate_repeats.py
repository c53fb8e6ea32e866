"""A gate run again and again, to see how often it alarms; goes on where it was cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from browser_runtime.contract.errors import BadInput
from webinfer.bench.laboratory.comparing import Tell
from webinfer.bench.laboratory.documents import Document, make_document, reading
from webinfer.bench.laboratory.estimates import highest_rate
from webinfer.bench.laboratory.gate import (
    EXIT_BAD,
    EXIT_OPEN,
    EXIT_PASSED,
    EXIT_STOPPED,
    CellResult,
    exit_code,
    run_gate,
)
from webinfer.bench.laboratory.gate_set import GateSet
from webinfer.bench.laboratory.machine import difference, this_machine

KIND = "gate-repeats"


@dataclass(slots=True)
class Repeats:
    """The runs so far."""

    wanted: GateSet
    n: int
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    """Of each run `exit_code`, `seconds` and its cells without their sessions."""
    is_stopped: bool = False
    """True after Ctrl-C."""

    @property
    def n_alarms(self) -> int:
        """Runs with a cell that is slower, wrong or did not run."""
        return sum(run["exit_code"] == EXIT_BAD for run in self.runs)

    @property
    def exit_code(self) -> int:
        """The worst of all runs, or that of Ctrl-C."""
        if self.is_stopped:
            return EXIT_STOPPED
        codes = {run["exit_code"] for run in self.runs}
        return next((code for code in (EXIT_BAD, EXIT_OPEN) if code in codes), EXIT_PASSED)

    def note(self, results: Sequence[CellResult]) -> None:
        """Add one run."""
        cells = [{k: v for k, v in result.to_plain().items() if k != "starts"} for result in results]
        seconds = sum(result.seconds for result in results)
        self.runs.append({"exit_code": exit_code(results), "seconds": seconds, "cells": cells})

    def sentence(self) -> str:
        """The alarms, and how frequent they may be."""
        n, alarms = len(self.runs), self.n_alarms
        n_open = sum(run["exit_code"] == EXIT_OPEN for run in self.runs)
        told = f"{n} of {self.n} runs: {alarms} alarm{'' if alarms == 1 else 's'}"
        told += f", {n_open} with a cell that is not clear" if n_open else ""
        most = highest_rate(alarms, n)
        return f"{told}; alarms in at most {most * 100:.0f} % of runs (95 %)" if n else told

    def document(self) -> Document:
        """The document as it is now."""
        models = sorted({cell.arm.model for cell in self.wanted.cells})
        body = {"set": self.wanted.name, "models": models, "n_wanted": self.n, "exit_code": self.exit_code}
        return make_document(KIND, self.sentence(), body | {"runs": self.runs})


def resume(wanted: GateSet, n: int, document: Document | None) -> Repeats:
    """The repeats that a document began; without one, none. Raises BadInput for another set or machine."""
    if document is None:
        return Repeats(wanted, n)
    with reading("--json"):
        told = difference(document["machine"], this_machine().to_plain())
        if document["set"] != wanted.name:
            told = f"it is of the set {document['set']!r}"
        repeats = Repeats(
            wanted, n, [{**run, "exit_code": int(run["exit_code"])} for run in document["runs"]]
        )
    if told:
        raise BadInput("--json", f"a file that cannot be gone on with ({told})", "another file")
    return repeats


async def repeat_gate(
    repeats: Repeats, before: Document | None, tell: Tell, save: Callable[[Repeats], None]
) -> None:
    """Run the set until all repeats are there, or Ctrl-C comes; `save` is called after each whole run."""
    while len(repeats.runs) < repeats.n:
        number = f"run {len(repeats.runs) + 1}"
        tell(number)
        results = await run_gate(repeats.wanted, before, partial(_tell_of, tell, number), lambda _: None)
        if exit_code(results) == EXIT_STOPPED:
            repeats.is_stopped = True
            return
        repeats.note(results)
        save(repeats)


def _tell_of(tell: Tell, number: str, text: str) -> None:
    tell(f"{number}: {text}")
