"""`webinfer report` as a user calls it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scheduler.history.history import History
from webinfer.commands.report import HTML_FILE, command


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of one run, in the environment; the folder one is in."""
    path = tmp_path / "history.duckdb"
    run = {"at": time.time() - 60, "model": "bert", "browser": "chrome", "backend": "wasm", "ok": True}
    with History(path) as history:
        history.append([("runs", run | {"compute_ms": 5.0})])
    monkeypatch.setenv("WEBINFER_HISTORY_PATH", str(path))
    monkeypatch.setenv("WEBINFER_BROKER_URL", "redis://nobody.invalid")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_markdown_is_the_default_and_goes_to_the_screen(asked: Path) -> None:
    assert "| bert | chrome |" in call().output


def test_json_is_whole(asked: Path) -> None:
    assert json.loads(call("--json", "--days", "1").output)["totals"]["n_runs"] == 1


def test_html_goes_into_a_file_and_the_path_is_told(asked: Path) -> None:
    assert call("--html").output.strip() == HTML_FILE
    assert (asked / HTML_FILE).read_text().startswith("<!doctype html>")
    assert call("--html", "--output", "-").output.startswith("<!doctype html>")


def test_the_ending_of_the_file_says_the_form_where_no_option_does(asked: Path) -> None:
    for name, start in (("r.html", "<!doctype html>"), ("r.json", "{"), ("r.md", "#"), ("r.txt", "#")):
        assert call("--output", name).output.strip() == name
        assert (asked / name).read_text().startswith(start)
    call("--markdown", "--output", "r.html")
    assert (asked / "r.html").read_text().startswith("#")


def test_a_model_that_never_ran_is_refused_by_name(asked: Path) -> None:
    assert "| bert | chrome |" in call("--model", "bert").output
    error = call("--model", "brt", "--days", "7").exception
    assert str(error) == "model_name 'brt' is not known: the history has no run of it in the last 7 days"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--days", "0"), "Invalid value for '--days': 0.0 is not in the range 0<x<=36500"),
        (("--days", "nan"), "Invalid value for '--days': 'nan' is not a finite number"),
        (("--html", "--markdown"), "--html and --markdown: choose one format"),
        (("--output", "away/report.md"), "Invalid value for '--output': the folder 'away' does not exist."),
    ],
)
def test_a_mistake_is_one_sentence(asked: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = call(*arguments)
    assert result.exit_code != 0
    assert sentence in result.output
    assert "Traceback" not in result.output
