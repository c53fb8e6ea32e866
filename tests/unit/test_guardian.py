"""The guardian ends what a dead worker leaves, whatever its temporary folder is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from browser_runtime.launching.guardian import MARK
from browser_runtime.launching.hosting import Guardian
from browser_runtime.launching.processes import end_session, session_processes

NAMES = ["plain", "a b", " ", "it's", 'say "x"', "ünï 文", "a\\b", "a\nb", "+x -1", os.fsdecode(b"\xff\xfe")]


def start_marked(folder: Path) -> subprocess.Popen[bytes]:
    """A process that would wait for ever, marked as the session's."""
    folder.mkdir()
    (folder / "profile").write_text("x")
    wait = [sys.executable, "-c", "print('up', flush=True); input()"]
    process = subprocess.Popen(
        wait, env=os.environ | {MARK: str(folder)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    return process


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_folder_is_called_its_processes_end_and_it_goes(tmp_path: Path, name: str) -> None:
    guardian = Guardian()
    mine, other = tmp_path / name, tmp_path / f"{name}2"
    with start_marked(mine) as process, start_marked(other) as spared:
        guardian.watch(mine)
        guardian.watch(other)
        guardian.release(other)
        guardian.close()
        assert process.wait(10) < 0
        assert spared.poll() is None
        assert [found.pid for found in session_processes(other, None)] == [spared.pid]
        end_session(other, None)
        assert spared.wait(10) < 0
    assert not list(tmp_path.iterdir())
