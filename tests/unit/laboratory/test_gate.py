"""The gate's verdicts and exit codes on made-up sessions, its set file, and its reports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput
from scheduler.experiments.gates import tabulate_gate
from tests.unit.laboratory.made_up import comparison, start
from webinfer.bench.laboratory import gate
from webinfer.bench.laboratory.answers import Answer
from webinfer.bench.laboratory.arms import Arm, parse_arm
from webinfer.bench.laboratory.comparing import Limits
from webinfer.bench.laboratory.estimates import Interval
from webinfer.bench.laboratory.gate import CellResult, Status, exit_code, gate_document, judge, run_gate
from webinfer.bench.laboratory.gate_reports import annotate, junit, markdown
from webinfer.bench.laboratory.gate_set import GateCell, GateSet, read_set
from webinfer.bench.laboratory.sessions import ArmFailed, Start
from webinfer.cli import main
from webinfer.commands.gate import command

SET = """
fail_above = "10%"
[[cell]]
model = "digits-vit"
arm = "browser=edge backend=wasm"
[[cell]]
name = "a flag"
model = "digits-vit"
arm = "flag=--x"
baseline = ""
fail_above = "4%"
budget = "20s"
"""


def cell(baseline: str | None = None, arm: str = "") -> GateCell:
    base = None if baseline is None else parse_arm(baseline, "digits-vit")
    return GateCell("digits", parse_arm(arm, "digits-vit"), base, 0.05, Limits(0.03, 10.0))


def test_a_set_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(SET)
    found = read_set(path)
    assert found.name == "ours" and [each.name for each in found.cells] == [
        "digits-vit browser=edge backend=wasm",
        "a flag",
    ]
    assert [each.fail_above for each in found.cells] == [0.10, 0.04]
    assert found.cells[1].limits == Limits(0.03, 20.0) and found.cells[1].baseline is not None
    assert [each.fail_above for each in read_set(path, 0.2).cells] == [0.2, 0.2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = [", "TOML"),
        ("", "at least one"),
        ("colour = 1\n[[cell]]\nmodel='m'", "unknown key 'colour'"),
        ("[[cell]]\nmodel='m'\nhue=1", "cell 1 is holding the unknown key 'hue'"),
        ("[[cell]]\n", "cell 1: model"),
        ("[[cell]]\nmodel='m'\narm='brwser=edge'", "did you mean 'browser'"),
        ("[[cell]]\nmodel='m'\nfail_above='much'", "cell 1: fail_above"),
        ("fail_above = 5\n[[cell]]\nmodel='m'", "cell 1: fail_above is 5, but must be .*, or 0.03 below 1"),
        ("[[cell]]\nmodel='m'\nbudget='0s'", "cell 1: budget"),
        ("[[cell]]\nmodel='m'\n[[cell]]\nmodel='m'", "named 'm' twice"),
    ],
)
def test_what_is_wrong_in_a_set_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "set.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=why):
        read_set(path)


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        (Interval(1.10, 1.07, 1.13, 8), Status.SLOWER),
        (Interval(1.06, 1.01, 1.11, 8), Status.SLOWER),
        (Interval(1.06, 0.99, 1.13, 8), Status.PASSED),
        (Interval(1.04, 1.03, 1.05, 8), Status.PASSED),
        (Interval(0.80, 0.78, 0.82, 8), Status.PASSED),
        (Interval(1.00, 0.80, 1.25, 8), Status.UNCLEAR),
    ],
)
def test_slower_is_more_than_allowed_and_surely_more_than_nothing(interval: Interval, status: Status) -> None:
    assert judge(interval, 0.05) is status


def measure_gives(monkeypatch: Any, *rounds: list[Start]) -> None:
    left = iter(rounds)

    async def measure(*rest: Any) -> list[Start]:
        return next(left)

    monkeypatch.setattr(gate, "measure", measure)


def starts(*levels_ms: float, answer: Answer | None = None, **facts: Any) -> list[Start]:
    return [start(level, answer, **facts) for level in levels_ms]


STEADY = (10.0, 10.1, 9.9, 10.05, 9.95)
SLOW = tuple(level * 1.2 for level in STEADY)


def run(before: Any, one: GateCell) -> CellResult:
    [result] = asyncio.run(run_gate(GateSet("s", (one,)), before, lambda text: None, lambda result: None))
    return result


@pytest.fixture
def before() -> dict[str, Any]:
    earlier = CellResult(cell(), Status.MEASURED, "", None, starts(*STEADY))
    return gate_document(GateSet("s", (cell(),)), [earlier])


def test_the_same_again_passes(monkeypatch: Any, before: dict[str, Any]) -> None:
    measure_gives(monkeypatch, starts(*STEADY))
    assert run(before, cell()).status is Status.PASSED


def test_slower_twice_is_slower_and_the_change_is_named(monkeypatch: Any, before: dict[str, Any]) -> None:
    slow = starts(*SLOW, browser_build="Chromium 157.0")
    measure_gives(monkeypatch, slow, slow)
    found = run(before, cell())
    assert found.status is Status.SLOWER and exit_code([found]) == 1
    assert "slower" in found.text and "build Chromium 156.0 -> Chromium 157.0" in found.text


def test_slower_once_is_no_alarm(monkeypatch: Any, before: dict[str, Any]) -> None:
    measure_gives(monkeypatch, starts(*SLOW), starts(*STEADY))
    assert run(before, cell()).status is Status.PASSED


def test_another_answer_is_wrong(monkeypatch: Any, before: dict[str, Any]) -> None:
    measure_gives(monkeypatch, starts(*STEADY, answer=Answer("9", (), {"9": 0.9})))
    found = run(before, cell())
    assert found.status is Status.WRONG and exit_code([found]) == 1


def test_another_machine_or_adapter_is_not_comparable(monkeypatch: Any, before: dict[str, Any]) -> None:
    measure_gives(monkeypatch, starts(*SLOW, adapter="another"))
    assert run(before, cell()).status is Status.NOT_COMPARABLE
    before["machine"]["processor"] = "another"
    found = run(before, cell())
    assert found.status is Status.NOT_COMPARABLE and exit_code([found]) == 3
    assert found.text.startswith("another processor: another before")


def test_what_does_not_run_fails(monkeypatch: Any, before: dict[str, Any]) -> None:
    async def measure(*rest: Any) -> list[Start]:
        raise ArmFailed("it", "no such model")

    monkeypatch.setattr(gate, "measure", measure)
    found = run(before, cell())
    assert found.status is Status.FAILED and exit_code([found]) == 1


@pytest.mark.parametrize("ratios", [(1.2, 1.2), (1.2, 1.0), (1.0,)])
def test_a_baseline_that_can_run_is_run_in_turn(monkeypatch: Any, ratios: tuple[float, ...]) -> None:
    left = iter(ratios)

    async def compare(a: Arm, b: Arm, *rest: Any) -> Any:
        assert (a.text, b.text) == ("", "flag=--x")
        return comparison(next(left))

    monkeypatch.setattr(gate, "compare", compare)
    found = run(None, cell("", "flag=--x"))
    assert found.is_paired and (found.status is Status.SLOWER) == (ratios == (1.2, 1.2))


@pytest.mark.parametrize(
    ("cut_by", "status", "told"),
    [
        (asyncio.CancelledError(), Status.STOPPED, "before a verdict"),
        (ArmFailed("arm b", "its browser is gone"), Status.FAILED, "arm b did not run: its browser is gone"),
    ],
)
def test_a_comparison_that_was_cut_is_no_verdict(
    monkeypatch: Any, cut_by: Any, status: Status, told: str
) -> None:
    """What `compare` keeps of it looks like any other, and would pass."""

    async def compare(a: Arm, b: Arm, *rest: Any) -> Any:
        found = comparison(1.0)
        found.cut_by = cut_by if b.text else None
        return found

    monkeypatch.setattr(gate, "compare", compare)
    cells = (cell(""), cell("", "flag=--x"), cell(""))
    found = asyncio.run(run_gate(GateSet("s", cells), None, lambda text: None, lambda result: None))
    after = Status.STOPPED if status is Status.STOPPED else Status.PASSED
    assert [one.status for one in found] == [Status.PASSED, status, after]
    assert found[1].text == told and exit_code(found) == (130 if status is Status.STOPPED else 1)


def test_an_arm_of_the_file_that_differs_is_run_in_turn_too(before: dict[str, Any]) -> None:
    row = before["cells"][0]
    assert gate.runnable(row, cell()) is None
    assert gate.runnable(row, cell(arm="flag=--x")) is not None
    row["arm"]["text"] = "binary=/gone/chrome"
    assert gate.runnable(row, cell()) is None


RESULTS = [
    CellResult(cell(), Status.PASSED, "no difference above 1.0 %", Interval(1.0, 0.99, 1.01, 6)),
    CellResult(cell(), Status.SLOWER, "it is 20 % slower\n::x", Interval(1.2, 1.18, 1.22, 6)),
    CellResult(cell(), Status.NOT_COMPARABLE, "another | <processor> \x00"),
    CellResult(cell(), Status.FAILED, "no such model"),
]


STOPPED = [RESULTS[0], CellResult(cell(), Status.STOPPED, "before a verdict")]


def test_reports_cannot_be_steered_and_count_right() -> None:
    suite = ElementTree.fromstring(junit("s", RESULTS))[0]
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    lines = list(annotate(RESULTS))
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert "%0A" in lines[0] and "\n" not in lines[0] and "20 %25 slower" in lines[0]
    table = markdown("s", RESULTS).splitlines()
    assert len(table) == 8 and r"\|" in table[6] and "<" not in table[6].replace(r"\<", "")
    rows = tabulate_gate(gate_document(GateSet("s", (cell(),)), RESULTS)).rows
    assert [row[1].mark for row in rows] == ["", "wrong", "none", "wrong"]
    rows = tabulate_gate(gate_document(GateSet("s", (cell(),)), STOPPED)).rows
    assert [row[1].mark for row in rows] == ["", "none"]
    assert exit_code(RESULTS) == 1 and exit_code(RESULTS[:1]) == 0 and exit_code(RESULTS[2:3]) == 3


@pytest.mark.parametrize(
    ("results", "code"), [(RESULTS, 1), (RESULTS[:1], 0), (RESULTS[2:3], 3), (STOPPED, 130), (None, 2)]
)
def test_the_process_ends_with_the_exit_code(
    tmp_path: Path, monkeypatch: Any, results: list[CellResult] | None, code: int
) -> None:
    """Through the command's own main: click hands an exit code back there, which must not be lost."""

    async def run_gate(*rest: Any) -> list[CellResult]:
        assert results is not None
        return results

    path = tmp_path / "set.toml"
    path.write_text(SET if results else "colour = 1")
    monkeypatch.setattr(gate, "run_gate", run_gate)
    words = ["webinfer", "gate", str(path), "--no-history", "--junit", str(tmp_path / "gate.xml")]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr("webinfer.cli.take_signals", lambda: None)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    assert (tmp_path / "gate.xml").exists() == (results is not None)


@pytest.mark.parametrize(
    "change",
    [
        {"machine": None},
        {"cells": [{"name": "digits"}]},
        {
            "cells": [
                {"name": "digits", "arm": {"text": "", "model": "m"}, "status": "passed", "starts": [{}]}
            ]
        },
    ],
)
def test_a_baseline_that_is_not_as_documented_is_wrong_usage(
    tmp_path: Path, before: dict[str, Any], change: dict[str, Any]
) -> None:
    path, baseline = tmp_path / "set.toml", tmp_path / "baseline.json"
    path.write_text(SET)
    baseline.write_text(json.dumps(before | change))
    done = CliRunner().invoke(command, [str(path), "--against", str(baseline), "--no-history"])
    assert done.exit_code == 2
    assert "baseline.json', which is not as documented" in " ".join(done.output.split())


def test_annotations_stay_out_of_a_document_that_is_printed(tmp_path: Path, monkeypatch: Any) -> None:
    async def run_gate(*rest: Any) -> list[CellResult]:
        return RESULTS

    path = tmp_path / "set.toml"
    path.write_text(SET)
    monkeypatch.setattr(gate, "run_gate", run_gate)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = CliRunner().invoke(command, [str(path), "--json", "-", "--no-history"])
    assert json.loads(done.stdout)["exit_code"] == done.exit_code == 1
    assert "::error" in done.stderr
    assert (tmp_path / "summary.md").read_text().startswith("### webinfer gate: set")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "gone/summary.md"))
    done = CliRunner().invoke(command, [str(path), "--no-history"])
    assert done.exit_code == 2
    assert "GITHUB_STEP_SUMMARY: the folder" in " ".join(done.stderr.split())
