"""A gate that is run again and again: counted, gone on with, and told with what is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

from browser_runtime.contract.errors import BadInput
from tests.unit.laboratory.test_gate import RESULTS, SET, STOPPED, cell
from webinfer.bench.laboratory import gate_repeats
from webinfer.bench.laboratory.estimates import highest_rate
from webinfer.bench.laboratory.gate import CellResult
from webinfer.bench.laboratory.gate_repeats import Repeats, resume
from webinfer.bench.laboratory.gate_set import GateSet
from webinfer.commands.gate import command


@pytest.mark.parametrize(("n_events", "n"), [(0, 20), (1, 20), (5, 7), (20, 20)])
def test_the_highest_rate_is_that_of_clopper_and_pearson(n_events: int, n: int) -> None:
    exact = binomtest(n_events, n, alternative="less").proportion_ci(0.95, "exact").high
    assert highest_rate(n_events, n) == pytest.approx(exact)


def test_alarms_are_counted_and_the_worst_run_is_the_exit_code() -> None:
    repeats = Repeats(GateSet("s", (cell(),)), 3)
    repeats.note(RESULTS[:1])
    assert (repeats.exit_code, repeats.n_alarms) == (0, 0)
    repeats.note(RESULTS[2:3])
    assert (repeats.exit_code, repeats.n_alarms) == (3, 0)
    repeats.note(RESULTS)
    assert (repeats.exit_code, repeats.n_alarms) == (1, 1)
    assert repeats.sentence().startswith("3 of 3 runs: 1 alarm, 1 with a cell that is not clear;")


def test_another_set_or_machine_is_not_gone_on_with() -> None:
    wanted = GateSet("s", (cell(),))
    document = Repeats(wanted, 2).document()
    with pytest.raises(BadInput, match="of the set 's'"):
        resume(GateSet("t", (cell(),)), 2, document)
    with pytest.raises(BadInput, match="another processor"):
        resume(wanted, 2, document | {"machine": document["machine"] | {"processor": "other"}})


def test_what_was_cut_goes_on_where_it_ended(tmp_path: Path, monkeypatch: Any) -> None:
    n_runs = 0

    async def run_gate(*rest: Any) -> list[CellResult]:
        nonlocal n_runs
        n_runs += 1
        return STOPPED if n_runs == 3 else RESULTS[:1]

    monkeypatch.setattr(gate_repeats, "run_gate", run_gate)
    (tmp_path / "set.toml").write_text(SET)
    file = tmp_path / "repeats.json"
    words = [str(tmp_path / "set.toml"), "--repeat", "5", "--json", str(file), "--no-history"]
    cut = CliRunner().invoke(command, words)
    assert cut.exit_code == 130 and "2 of 5 runs: 0 alarms" in cut.output
    assert len(json.loads(file.read_text())["runs"]) == 2
    ended = CliRunner().invoke(command, words)
    document = json.loads(file.read_text())
    assert ended.exit_code == 0 and n_runs == 6 and len(document["runs"]) == 5
    assert document["verdict"] == "5 of 5 runs: 0 alarms; alarms in at most 45 % of runs (95 %)"
    assert "5 times" in ended.output and document["verdict"] in ended.output
