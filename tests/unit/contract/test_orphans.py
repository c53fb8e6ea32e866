"""Whose browsers are orphans; and a real one, ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from browser_runtime.contract.orphans import Process, end_orphans, end_session, find_orphans
from browser_runtime.contract.session_folders import hold_folder
from browser_runtime.contract.session_processes import MARK

OLD = 600.0
INIT = Process(1, 0, OLD)
WORKER = Process(10, 1, OLD)


def test_a_session_whose_worker_lives_is_owned() -> None:
    driver, browser = Process(20, 10, OLD, "/tmp/a"), Process(21, 20, OLD, "/tmp/a")
    crash_handler = Process(22, 1, OLD, "/tmp/a")  # a double fork: its parent is init from the start
    assert find_orphans([INIT, WORKER, driver, browser, crash_handler]) == {}


def test_a_session_whose_worker_is_gone_is_an_orphan() -> None:
    driver, browser = Process(20, 1, OLD, "/tmp/a"), Process(21, 20, OLD, "/tmp/a")
    other = Process(30, 10, OLD, "/tmp/b")
    assert find_orphans([INIT, WORKER, driver, browser, other]) == {"/tmp/a": [20, 21]}


def test_a_session_taken_in_by_the_service_manager_of_its_user_is_an_orphan() -> None:
    manager, driver = Process(5, 1, OLD, name="systemd"), Process(20, 5, OLD, "/tmp/a")
    assert find_orphans([INIT, manager, driver]) == {"/tmp/a": [20]}


def test_a_session_that_began_while_processes_were_listed_is_left_alone() -> None:
    assert find_orphans([INIT, Process(20, 1, 0.1, "/tmp/a")]) == {}
    page = Process(21, 20, 0.1, "/tmp/a")
    assert find_orphans([INIT, Process(20, 1, OLD, "/tmp/a"), page]) == {"/tmp/a": [20, 21]}


def test_in_a_container_the_worker_is_process_one() -> None:
    assert find_orphans([INIT, Process(20, 1, OLD, "/tmp/a")], init_owns=True) == {}


def test_a_real_session_with_a_living_owner_is_left_alone() -> None:
    with tempfile.TemporaryDirectory(prefix="webinfer-chrome-1-") as folder:
        sleeper = [sys.executable, "-c", "input()"]
        with subprocess.Popen(sleeper, stdin=subprocess.PIPE, env=os.environ | {MARK: folder}) as owned:
            assert folder not in end_orphans()
            assert psutil.pid_exists(owned.pid) and owned.poll() is None
            assert Path(folder).is_dir()
            owned.communicate(b"\n")


def test_an_ended_session_leaves_nothing_and_nothing_else_is_touched(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="webinfer-chrome-1-"))
    wait = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(wait, stdin=subprocess.PIPE, env=os.environ | {MARK: str(folder)}) as orphan,
        subprocess.Popen(wait, stdin=subprocess.PIPE, env=os.environ | {MARK: f"{folder}2"}) as other,
    ):
        end_session(folder)
        assert orphan.wait(60) < 0
        assert other.poll() is None
        other.communicate(b"\n")
    assert not folder.exists()
    end_session(tmp_path)  # named in an environment variable, but no folder of ours
    assert tmp_path.is_dir()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory with a stack's folder, an old session's, and one that has just begun."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("webinfer-stack-a", "webinfer-edge-1-old", "webinfer-edge-2-new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "driver.log").touch()
    for name in ("webinfer-stack-a", "webinfer-edge-1-old"):
        os.utime(tmp_path / name, (0, 0))
    return tmp_path


def test_a_folder_that_nobody_uses_or_holds_is_removed(folders: Path) -> None:
    """Its processes were ended elsewhere, or with its worker and guardian."""
    old = folders / "webinfer-edge-1-old"
    assert str(old) in end_orphans()
    assert {path.name for path in folders.iterdir()} == {"webinfer-stack-a", "webinfer-edge-2-new"}


def test_a_folder_that_a_worker_holds_stays_though_its_processes_are_not_seen(folders: Path) -> None:
    """As in another container that shares the temporary directory."""
    old = folders / "webinfer-edge-1-old"
    descriptor = hold_folder(old)
    try:
        assert str(old) not in end_orphans()
        assert old.is_dir()
    finally:
        os.close(descriptor)
    assert str(old) in end_orphans()


def test_a_link_is_followed_nowhere(folders: Path) -> None:
    target = folders / "elsewhere"
    target.mkdir()
    (folders / "webinfer-chrome-1-link").symlink_to(target)
    os.utime(folders / "webinfer-chrome-1-link", (0, 0), follow_symlinks=False)
    assert str(folders / "webinfer-chrome-1-link") not in end_orphans()
    assert target.is_dir()


def test_a_temporary_directory_that_was_removed_is_no_fault(folders: Path) -> None:
    shutil.rmtree(folders)
    assert not [path for path in end_orphans() if path.startswith(str(folders))]
