"""The laboratory in real browsers: one small run of each command."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Backend, Browser
from scheduler.experiments.comparisons import tabulate_comparison
from webinfer.bench.laboratory import comparing, gate, matrix, sessions, verdicts
from webinfer.bench.laboratory.arms import parse_arm
from webinfer.bench.laboratory.comparing import Limits, compare
from webinfer.bench.laboratory.documents import comparison_document, write_document
from webinfer.bench.laboratory.gate_set import GateCell, GateSet
from webinfer.bench.laboratory.matrix import run_matrix
from webinfer.bench.laboratory.matrix_cells import MEASURED, NOT_RUN, Coordinates, MatrixCell, Plan
from webinfer.bench.noise_recording import record


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short block: what is measured is not looked at."""
    monkeypatch.setattr(comparing, "FEWEST_BLOCKS", 1)
    monkeypatch.setattr(comparing, "BLOCK_RUNS_S", 0.1)
    monkeypatch.setattr(sessions, "WARM_UP_S", 0.0)


@pytest.mark.browser("chrome", "edge")
def test_two_builds_are_compared_step_by_step_and_flags_are_told(quick: None) -> None:
    a = parse_arm("browser=chrome backend=wasm flag=--js-flags=--no-wasm-tier-up", "digits-vit")
    b = parse_arm("browser=edge backend=wasm", "digits-vit")
    found = asyncio.run(compare(a, b, Limits(0.03, 0.1), lambda text: None))
    one, other = found.blocks[0].a, found.blocks[0].b
    assert one.facts["browser_build"].endswith(", with --js-flags=--no-wasm-tier-up")
    assert "headless shell" in other.facts["browser_build"]
    assert one.answer.word == other.answer.word == "7" and found.answers_differ == ""
    for start in (one, other):
        assert all(start.once_ms[name] > 0 for name in ("start_ms", "compile_ms", "warmup_ms", "first_ms"))
        assert start.median_ms("compute_ms") > 0 and start.memory_mb and start.memory_mb > 50
        assert len(start.runs) >= 2
    assert (
        len(list(verdicts.describe_arms(found))) == 2
        and len(tabulate_comparison(comparison_document(found)).rows) > 5
    )


@pytest.mark.browser("edge")
def test_noise_is_recorded_run_by_run_with_the_load_beside(quick: None) -> None:
    saved: list[int] = []
    arm = parse_arm("browser=edge backend=wasm", "digits-vit")
    found = asyncio.run(record(arm, 1 / 60, 0.1, lambda each: saved.append(len(each.at_s)), print))
    samples = json.loads(write_document(found.to_document()))["samples"]
    assert saved == [len(samples["at_s"])] and 5 <= saved[0] <= 10
    assert {len(column) for column in samples.values()} == {saved[0]}
    assert all(0 < part < whole for part, whole in zip(samples["compute_ms"], samples["run_ms"], strict=True))


@pytest.mark.browser("edge")
def test_the_gate_stops_another_answer(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FEWEST_BLOCKS", 1), ("LEAST_BLOCKS", 1), ("ALONE_RUNS_S", 0.1)):
        monkeypatch.setattr(gate, name, value)
    arm = parse_arm("browser=edge backend=wasm", "digits-vit")
    wanted = GateSet("small", (GateCell("digits", arm, None, 9.0, Limits(9.0, 0.1)),))
    first = asyncio.run(gate.run_gate(wanted, None, print, print))
    assert first[0].status is gate.Status.MEASURED
    before = json.loads(write_document(gate.gate_document(wanted, first)))
    before["cells"][0]["starts"][0]["answer"]["word"] = "9"
    [wrong] = asyncio.run(gate.run_gate(wanted, before, print, print))
    assert wrong.status is gate.Status.WRONG and "'7' instead of '9'" in wrong.text


@pytest.mark.browser("edge")
def test_a_matrix_has_every_cell_and_goes_on_where_it_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "MOST_RUNS", 3)
    monkeypatch.setattr(matrix, "WARM_SHARE", 0.0)
    plan = Plan(("digits-vit", "sentences-bert"), (Browser.EDGE,), (Backend.WASM,), (), (2,), (None, 8), 30.0)
    known = Coordinates("sentences-bert", "fp32", 2, None, "edge", "wasm")
    kept = MatrixCell(known, MEASURED, "kept", 1.0, 1.0, 1.0, 1)
    found = asyncio.run(run_matrix(plan, {known: kept}, print, lambda matrix: None))
    assert found.is_complete and found.n_planned == 4 and found.cells[known] is kept
    cells = {(cell.at.model, cell.at.length): cell for cell in found.cells.values()}
    no_length = cells["digits-vit", 8]
    assert no_length.status == NOT_RUN and "its inputs have one size" in no_length.note
    for cell in (cells["digits-vit", None], cells["sentences-bert", 8]):
        assert cell.status == MEASURED and cell.n_runs == 3, cell
        assert cell.closeness and cell.closeness > 0.99


@pytest.mark.browser("edge")
@pytest.mark.redis
def test_load_goes_through_the_queue_and_every_answer_is_checked(tmp_path: Path) -> None:
    words = ["digits-vit", "sentences-bert", "--browser", "edge", "--backend", "wasm", "--rate", "10"]
    words += ["--duration", "2s", "--no-history", "--json", str(tmp_path / "load.json")]
    done = subprocess.run(
        [sys.executable, "-m", "webinfer", "load", *words], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [run] = json.loads((tmp_path / "load.json").read_text())["runs"]
    assert run["n_sent"] == len(run["latencies_ms"]) >= 10 and not run["errors"]
    assert 0 < run["latencies_ms"][0] < run["percentiles_ms"]["p75"]
