"""The gate: each cell against its baseline, run beside it where that can be, else as it was measured."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from browser_runtime.contract.errors import InferenceError
from webinfer import endings
from webinfer.bench.laboratory import verdicts
from webinfer.bench.laboratory.answers import Answer
from webinfer.bench.laboratory.arms import Arm, parse_arm
from webinfer.bench.laboratory.comparing import FEWEST_BLOCKS, Comparison, Limits, Tell, compare
from webinfer.bench.laboratory.documents import Document, interval_plain, make_document, reading
from webinfer.bench.laboratory.estimates import LEAST_BLOCKS, STOPPING_LEVEL, Interval, unpaired_interval
from webinfer.bench.laboratory.gate_set import GateCell, GateSet
from webinfer.bench.laboratory.machine import difference, this_machine
from webinfer.bench.laboratory.sessions import OpenArm, Start

ALONE_RUNS_S = 1.0


class Status(StrEnum):
    """What became of a cell."""

    PASSED = "passed"
    MEASURED = "measured"
    """There was nothing to compare it with, and nothing was asked for."""
    SLOWER = "slower"
    WRONG = "wrong"
    FAILED = "failed"
    """It did not run."""
    NOT_COMPARABLE = "not comparable"
    UNCLEAR = "unclear"
    """The interval is too wide to see the threshold."""
    STOPPED = "stopped"
    """Ctrl-C came before it was judged."""


BAD = (Status.SLOWER, Status.WRONG, Status.FAILED)
OPEN = (Status.NOT_COMPARABLE, Status.UNCLEAR, Status.STOPPED)
EXIT_PASSED, EXIT_BAD, EXIT_USAGE, EXIT_OPEN, EXIT_STOPPED = 0, 1, 2, 3, endings.STOPPED


@dataclass(slots=True)
class CellResult:
    """One cell, judged."""

    cell: GateCell
    status: Status
    text: str
    interval: Interval | None = None
    starts: list[Start] = field(default_factory=list)
    is_paired: bool = False
    seconds: float = 0.0

    def to_plain(self) -> dict[str, Any]:
        """Plain values; its starts are what a later run compares with."""
        return {
            "name": self.cell.name,
            "arm": self.cell.arm.to_plain(),
            "fail_above": self.cell.fail_above,
            "status": str(self.status),
            "text": self.text,
            "is_paired": self.is_paired,
            "seconds": self.seconds,
            "ratio": None if self.interval is None else interval_plain(self.interval),
            "starts": [start.to_plain() for start in self.starts],
        }


def exit_code(results: Sequence[CellResult]) -> int:
    """0 passed, 1 slower, wrong or failed, 3 not to be judged, 130 stopped by hand."""
    if any(result.status is Status.STOPPED for result in results):
        return EXIT_STOPPED
    if any(result.status in BAD for result in results):
        return EXIT_BAD
    return EXIT_OPEN if any(result.status in OPEN for result in results) else EXIT_PASSED


async def run_gate(
    wanted: GateSet, before: Document | None, tell: Tell, show: Callable[[CellResult], None]
) -> list[CellResult]:
    """Every cell in turn; `before` is the document of an earlier run, if there is one.

    After Ctrl-C those that were judged by then keep their verdicts, and all others are STOPPED.
    """
    results: list[CellResult] = []
    for cell in wanted.cells:
        began = time.monotonic()
        try:
            result = await _run_cell(cell, before, lambda text, cell=cell: tell(f"{cell.name}: {text}"))  # type: ignore[misc]
        except InferenceError as error:
            result = CellResult(cell, Status.FAILED, str(error))
        except asyncio.CancelledError:
            left = wanted.cells[len(results) :]
            return results + [CellResult(cell, Status.STOPPED, "before a verdict") for cell in left]
        result.seconds = time.monotonic() - began
        results.append(result)
        show(result)
    return results


def require_baseline(document: Document, where: str) -> Document:
    """The document if a run can be compared with it. Raises BadInput for one that lacks what that takes."""
    with reading(where):
        difference(document["machine"], {})
        for row in document["cells"]:
            _ = (row["name"] + row["arm"]["text"] + row["arm"]["model"], row["status"])
            for start in row["starts"]:
                Answer.from_plain(start["answer"])
                _ = (math.log(start["steady_ms"]), start["adapter"], start["backend"])
    return document


def latest_measurements(documents: Sequence[Document]) -> Document:
    """Of each cell the latest run that was no alarm, on this machine; `documents` come with the latest first.

    An alarm that became the baseline would be silent the next time. Where all are of other machines the
    latest, which is then told as not comparable. There is one document at least.
    """
    here = this_machine().to_plain()
    ours = [document for document in documents if not difference(document["machine"], here)]
    rows: dict[str, Mapping[str, Any]] = {}
    for document in ours:
        for row in document["cells"]:
            if row["starts"] and row["status"] not in BAD:
                rows.setdefault(row["name"], row)
    return {**ours[0], "cells": list(rows.values())} if ours else documents[0]


async def _run_cell(cell: GateCell, before: Document | None, tell: Tell) -> CellResult:
    if cell.baseline is not None:
        return await _judge_paired(cell, cell.baseline, tell)
    if before is None:
        return await _measure_only(cell, tell)
    if told := difference(before["machine"], this_machine().to_plain()):
        return CellResult(cell, Status.NOT_COMPARABLE, told)
    row = next((row for row in before["cells"] if row["name"] == cell.name), None)
    if row is None or not row["starts"]:
        return CellResult(cell, Status.NOT_COMPARABLE, "the baseline has no sound measurement of this cell")
    baseline = runnable(row, cell)
    if baseline is not None:
        return await _judge_paired(cell, baseline, tell)
    return await _judge_unpaired(cell, row["starts"], tell)


def runnable(row: Mapping[str, Any], cell: GateCell) -> Arm | None:
    """The baseline's arm if it is another than the cell's and can be run here; else None."""
    if row["arm"]["text"] == cell.arm.text and row["arm"]["model"] == cell.arm.model:
        return None
    try:
        return parse_arm(row["arm"]["text"], row["arm"]["model"], "baseline")
    except InferenceError:
        return None


async def _judge_paired(cell: GateCell, baseline: Arm, tell: Tell) -> CellResult:
    """Baseline and cell in turn; what looks slower is measured again, and must be slower again."""
    first = await _compare(baseline, cell, tell)
    starts = [block.b for block in first.blocks]
    if told := first.answers_differ:
        return CellResult(
            cell, Status.WRONG, f"the answer differs: {told}", first.steady, starts, is_paired=True
        )
    status = judge(first.steady, cell.fail_above)
    text, interval = verdicts.sentence(first), first.steady
    if status is Status.SLOWER:
        tell("slower; measured again to be sure")
        again = await _compare(baseline, cell, tell)
        status = judge(again.steady, cell.fail_above)
        text = f"{text}; measured again: {verdicts.sentence(again)}"
        interval = again.steady
    text = text.replace("b is", "it is")
    return CellResult(cell, status, text, interval, starts, is_paired=True)


async def _compare(baseline: Arm, cell: GateCell, tell: Tell) -> Comparison:
    """A comparison that came to its end. Raises ArmFailed, and CancelledError after Ctrl-C."""
    found = await compare(baseline, cell.arm, cell.limits, tell)
    if found.cut_by is not None:
        raise found.cut_by
    return found


async def _judge_unpaired(cell: GateCell, before: Sequence[Mapping[str, Any]], tell: Tell) -> CellResult:
    logs = [math.log(row["steady_ms"]) for row in before]
    old = before[0]
    starts = await measure(cell.arm, logs, cell.limits, tell)
    now = starts[0]
    if old["adapter"] != now.facts["adapter"] or old["backend"] != now.facts["backend"]:
        places = " before, ".join(f"{each['backend']} on {each['adapter']}" for each in (old, now.facts))
        return CellResult(cell, Status.NOT_COMPARABLE, f"another adapter: {places} now", None, starts)
    answer = Answer.from_plain(old["answer"])
    if told := next(filter(None, (answer.difference(start.answer) for start in starts)), ""):
        return CellResult(cell, Status.WRONG, f"the answer differs: {told}", None, starts)
    interval = against(logs, starts)
    status = judge(interval, cell.fail_above)
    if status is Status.SLOWER:
        tell("slower; measured again to be sure")
        again = await measure(cell.arm, logs, cell.limits, tell)
        interval = against(logs, again)
        status = judge(interval, cell.fail_above)
    return CellResult(cell, status, _tell_change(interval) + _changes(old, now.facts), interval, starts)


async def _measure_only(cell: GateCell, tell: Tell) -> CellResult:
    starts = await measure(cell.arm, [], cell.limits, tell)
    ms = verdicts.middle([start.median_ms() for start in starts])
    return CellResult(cell, Status.MEASURED, f"{ms:.2f} ms in {len(starts)} sessions", None, starts)


async def measure(arm: Arm, before: Sequence[float], limits: Limits, tell: Tell) -> list[Start]:
    """Fresh sessions of one arm, until their ratio to `before` (logarithms) is narrow or the budget spent.

    Raises ArmFailed.
    """
    starts: list[Start] = []
    began, longest_s = time.monotonic(), 0.0
    while True:
        session_began = time.monotonic()
        tell(f"session {len(starts) + 1}")
        starts.append(await _measure_session(arm))
        now = time.monotonic()
        longest_s = max(longest_s, now - session_began)
        is_narrow = len(starts) >= LEAST_BLOCKS and (
            not before or against(before, starts).half_width <= limits.within
        )
        is_spent = now - began + longest_s > limits.budget_s
        if is_narrow or (is_spent and len(starts) >= FEWEST_BLOCKS):
            return starts


async def _measure_session(arm: Arm) -> Start:
    opened = OpenArm("it", arm)
    try:
        await opened.open()
        end = time.monotonic() + ALONE_RUNS_S
        while True:
            await opened.burst()
            if time.monotonic() > end:
                await opened.sample_memory()
                return await opened.finish()
    finally:
        await opened.close()


def against(before: Sequence[float], starts: Sequence[Start]) -> Interval:
    """The interval of these sessions to those before."""
    return unpaired_interval(before, [math.log(start.median_ms()) for start in starts], STOPPING_LEVEL)


def judge(interval: Interval, fail_above: float) -> Status:
    """Slower if more than allowed, and surely more than nothing; unclear where the interval hides as much."""
    if interval.ratio >= 1 + fail_above and interval.low > 1:
        return Status.SLOWER
    return Status.PASSED if interval.high / interval.ratio - 1 <= 2 * fail_above else Status.UNCLEAR


def _tell_change(interval: Interval) -> str:
    if not interval.differs:
        return f"no difference above {verdicts.percent(interval.largest_change)}"
    word = "slower" if interval.ratio > 1 else "faster"
    return (
        f"it is {verdicts.percent(abs(interval.ratio - 1))} {word} "
        f"({interval.low:.3f} .. {interval.high:.3f}, 95 %) than the earlier run"
    )


def _changes(old: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed of the environment since then."""
    names = {"browser_build": "build", "revision": "revision", "kernel": "kernel", "threads": "threads"}
    changed = [
        f"{word} {old.get(name)} -> {now.get(name)}"
        for name, word in names.items()
        if old.get(name) != now.get(name)
    ]
    return f"; {', '.join(changed)}" if changed else ""


def gate_document(wanted: GateSet, results: Sequence[CellResult]) -> Document:
    """The gate's run; also what a later run compares with."""
    counts = {status: sum(result.status is status for result in results) for status in Status}
    verdict = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    body = {
        "set": wanted.name,
        "models": sorted({cell.arm.model for cell in wanted.cells}),
        "exit_code": exit_code(results),
        "cells": [result.to_plain() for result in results],
    }
    return make_document("gate", verdict, body)
