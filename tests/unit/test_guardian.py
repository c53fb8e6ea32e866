"""The guardian ends what a dead worker leaves, whatever its temporary folder is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from browser_runtime.contract.session_processes import MARK, end_session, find_processes
from browser_runtime.launching.guardian import Guardian

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
        assert process.wait(60) < 0
        assert spared.poll() is None
        assert find_processes(other, None) == [spared.pid]
        end_session(other, None)
        assert spared.wait(60) < 0
    assert not list(tmp_path.iterdir())


def test_a_descendant_without_the_mark_ends_with_its_session(tmp_path: Path) -> None:
    """As a sandboxed renderer that hides its environment and left its driver's session."""
    folder = tmp_path / "session"
    folder.mkdir()
    start = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'], env={}, "
        "start_new_session=True); print(child.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start],
        env=os.environ | {MARK: str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as marked:
        assert marked.stdout is not None
        descendant = int(marked.stdout.readline())
        assert sorted(find_processes(folder, None)) == sorted([marked.pid, descendant])
        guardian = Guardian()
        guardian.watch(folder)
        guardian.close()
        assert marked.wait(60) < 0
    assert not psutil.pid_exists(descendant) or psutil.Process(descendant).status() == psutil.STATUS_ZOMBIE
    assert not folder.exists()
