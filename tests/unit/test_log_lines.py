"""What a stranger chose, such as the id of a task, makes one line of a log, in every log that there is."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest
import structlog

from browser_runtime.contract.setup.log_lines import OneLineFormatter, guard_lines, one_line
from browser_runtime.logs import log_through_stdlib
from webinfer.stack.logs import configure_logs

FORGED = "x\n[2026-01-01 00:00:00,000: INFO/MainProcess] all is well\r\x1b[2J\u2028\u202e"


def is_one_line(text: str) -> bool:
    return len(text.rstrip("\n").splitlines()) == 1 and "\x1b" not in text and "\u202e" not in text


def test_controls_are_written_out() -> None:
    assert one_line("a\nb\x1b[0m\u2028") == "a\\nb\\x1b[0m\\u2028"
    assert one_line("wörds, 漢字 and \N{ROCKET}") == "wörds, 漢字 and \N{ROCKET}"


def test_a_message_is_one_line_and_a_traceback_is_indented() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    logger = logging.Logger("guarded")
    logger.addHandler(handler)
    guard_lines(logger)
    guard_lines(logger)
    assert isinstance(handler.formatter, OneLineFormatter)
    logger.warning("Task infer[%s] received", FORGED)
    assert is_one_line(stream.getvalue())
    try:
        raise ValueError(FORGED)
    except ValueError:
        logger.exception("failed")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("[")] == [lines[0], "[ERROR] failed"]
    assert "all is well" in stream.getvalue()


@pytest.mark.parametrize("name", ["text", "event"])
def test_fields_of_ours_are_one_line(
    name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"event": "page event", name: FORGED, "count": 3, "nothing": None}
    log_through_stdlib()
    with caplog.at_level(logging.WARNING):
        structlog.get_logger("browser_runtime.test").warning(values.pop("event"), **values)
    assert is_one_line(caplog.messages[-1])
    configure_logs()
    structlog.get_logger("webinfer.test").warning(values.get("event", FORGED), text=FORGED)
    assert is_one_line(capsys.readouterr().err)


def test_a_host_that_chooses_later_is_obeyed_by_loggers_that_were_used() -> None:
    log_through_stdlib()
    used = structlog.get_logger("browser_runtime.test")
    used.warning("first")
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        used.warning("second")
    assert [line["event"] for line in lines] == ["second"]


def test_a_worker_of_celery_has_such_lines() -> None:
    script = (
        "import logging; from tasks.app import app; app.log.setup(loglevel='INFO');"
        f"logging.getLogger('celery.worker.strategy').warning('Task infer[%s] received', {FORGED!r})"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert is_one_line(next(line for line in ran.stderr.split("\n") if "infer[" in line))
    assert not [line for line in ran.stderr.splitlines() if line.endswith("all is well")]
