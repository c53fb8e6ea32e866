"""Experiments go to the history and come back from it; without one the command still ends well."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput
from scheduler.history.history import History
from tests.unit.laboratory.made_up import comparison, start
from tests.unit.laboratory.test_gate import RESULTS, cell
from webinfer.bench.laboratory.documents import comparison_document, read_document
from webinfer.bench.laboratory.gate import CellResult, Status, gate_document
from webinfer.bench.laboratory.gate_set import GateSet
from webinfer.bench.laboratory.keeping import find_experiments, keep_experiment
from webinfer.commands.gate import _baseline
from webinfer.commands.history import command


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEBINFER_HISTORY_PATH", str(tmp_path / "h.duckdb"))
    return tmp_path / "h.duckdb"


def test_documents_are_kept_whole_with_the_machine_and_the_verdict(path: Path) -> None:
    document = comparison_document(comparison(1.1))
    keep_experiment(document)
    assert find_experiments("compare") == [document] and find_experiments("gate") == []
    with History(path) as history:
        span = {"since_s": 0.0, "until_s": time.time() + 60, "model": None}
        [row] = history.query("experiments", **span, max_rows=9, max_documents=9)
    assert row["verdict"] == document["verdict"] and row["model"] == "digits-vit"
    assert row["machine"] == document["machine"]["fingerprint"]


def test_the_last_run_of_the_same_set_that_was_no_alarm_is_the_baseline(path: Path) -> None:
    """One that is slower, and one that found nothing to compare itself with, must not end the alarms."""
    ours, other = (GateSet(name, (cell(),)) for name in ("ours", "other"))
    for level, status in ((9.0, Status.MEASURED), (10.0, Status.PASSED), (20.0, Status.SLOWER)):
        keep_experiment(gate_document(ours, [CellResult(cell(), status, "", None, [start(level)])]))
    keep_experiment(gate_document(ours, [CellResult(cell(), Status.NOT_COMPARABLE, "another adapter")]))
    keep_experiment(gate_document(other, RESULTS))
    found = _baseline("history", ours)
    assert found
    assert [row["starts"][0]["steady_ms"] for row in found["cells"]] == [11.0]
    with pytest.raises(BadInput, match="no run of the set 'nobody'"):
        _baseline("history", GateSet("nobody", (cell(),)))


def test_a_history_that_cannot_be_written_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "h.duckdb"
    broken.write_text("no database")
    monkeypatch.setenv("WEBINFER_HISTORY_PATH", str(broken))
    monkeypatch.setattr("webinfer.bench.laboratory.keeping._stream", _no_redis)
    keep_experiment(comparison_document(comparison(1.1)))
    assert "not kept in the history" in capsys.readouterr().err


def _no_redis() -> None:
    raise OSError("nobody listens")


def test_what_was_kept_is_listed_and_written_as_its_command_wrote_it(path: Path, tmp_path: Path) -> None:
    document = comparison_document(comparison(1.1))
    keep_experiment(document)
    keep_experiment(gate_document(GateSet("ours", (cell(),)), RESULTS))
    listed = CliRunner().invoke(command, ["experiments"])
    assert listed.exit_code == 0 and "compare" in listed.output and "gate" in listed.output
    words = ["experiments", "--kind", "compare", "--folder", str(tmp_path / "results")]
    assert CliRunner().invoke(command, words).exit_code == 0
    [file] = (tmp_path / "results").glob("compare-*.json")
    assert read_document(file, "compare") == document
