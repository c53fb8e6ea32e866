"""What `up` holds for itself, and what it leaves of a start that failed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadSetting, SetupError
from scheduler.history.history import History
from tests.processes import running
from webinfer.stack.commands import LONGEST_SOCKET, redis_process
from webinfer.stack.history_lock import hold_history
from webinfer.stack.processes import ManagedProcess

HOLDER = """
import sys
import time
from pathlib import Path
from webinfer.stack.history_lock import hold_history
with hold_history(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

OWNER = """
import sys
from scheduler.history.history import History
with History(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_up_says_whose_the_history_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.duckdb"
    with running(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        held = f"in use by the `webinfer up` with process id {other.pid}; give"
        with pytest.raises(SetupError, match=held), hold_history(path):
            pass
        with hold_history(tmp_path / "own.duckdb"):
            pass
    with hold_history(path):  # however it ended, it is free again
        pass


def test_a_history_that_an_analytics_worker_has_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "history.duckdb"
    with running(
        [sys.executable, "-c", OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline()
        held = "in use by another process, such as an analytics worker"
        with pytest.raises(SetupError, match=held), hold_history(path):
            pass
    with hold_history(path), History(path):  # what it holds keeps no analytics worker out
        pass


def test_a_history_that_cannot_be_written_is_a_bad_setting() -> None:
    with (
        pytest.raises(BadSetting, match="WEBINFER_HISTORY_PATH is '/proc/no'"),
        hold_history(Path("/proc/no/h")),
    ):
        pass


def test_the_log_of_a_failed_start_is_there_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code = "print('line 1'); print('no such thing'); raise SystemExit(3)"
    log = tmp_path / "stack" / "worker-edge.log"
    log.parent.mkdir()
    part = ManagedProcess("worker edge", [sys.executable, "-c", code], os.environ, log, "ready")
    part.start()
    before = time.monotonic()
    with pytest.raises(SetupError, match=r"ended with code 3; its log is (.*):\n") as told:
        part.wait_ready(120)
    assert time.monotonic() - before < 60, "it waited for one that had ended"
    part.stop()
    log.unlink()  # as the stack's folder goes
    kept = tmp_path / "state/webinfer/logs/worker-edge.log"
    assert str(kept) in str(told.value)
    assert kept.read_text().splitlines() == ["line 1", "no such thing"]


def test_a_folder_too_deep_for_a_socket_is_told(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * LONGEST_SOCKET)
    over = len(str(folder / "redis.sock")) - LONGEST_SOCKET
    with pytest.raises(SetupError, match=f"set TMPDIR to one at least {over} bytes shorter"):
        redis_process(folder)


def test_the_end_of_a_part_is_noticed_while_a_child_of_it_holds_its_output_open(tmp_path: Path) -> None:
    """As the guardian of a killed worker does that stands still: the worker was never started again."""
    child = tmp_path / "child"
    script = f'sleep 600 & echo $! > "{child}"; echo ready'
    part = ManagedProcess("part", ["sh", "-c", script], os.environ, tmp_path / "log", "ready")
    ended: queue.Queue[ManagedProcess] = queue.Queue()
    part.on_end = ended.put
    part.start()
    try:
        assert ended.get(timeout=30) is part
        part.stop(timeout_s=1)
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)
