"""A producer finds the broker of a `webinfer up` that runs, and only of one that runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.broker.local_broker import STANDARD_URL, find_running_broker, record_broker
from tasks.settings import TaskSettings

HOLDER = """
import sys
from tasks.broker.local_broker import record_broker
with record_broker(sys.argv[1]):
    print("recorded", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("WEBINFER_BROKER_URL", raising=False)
    return tmp_path


@contextmanager
def another_up(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that records `url` until its input ends."""
    command = [sys.executable, "-c", HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recorded\n"
        yield process


def test_a_producer_finds_the_broker_of_a_running_up() -> None:
    assert TaskSettings().broker_url == STANDARD_URL
    with another_up("redis+socket:///tmp/a.sock"):
        asked = [sys.executable, "-c", "from tasks import app; print(app.conf.broker_url)"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert told == "redis+socket:///tmp/a.sock\n"
    assert TaskSettings().broker_url == STANDARD_URL


def test_what_the_environment_says_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_BROKER_URL", "redis://elsewhere/1")
    with record_broker("redis+socket:///tmp/a.sock"):
        assert TaskSettings().broker_url == "redis://elsewhere/1"


def test_a_record_left_by_a_killed_process_is_ignored_and_then_removed(own_state: Path) -> None:
    with another_up("redis+socket:///tmp/killed.sock") as process:
        process.send_signal(signal.SIGKILL)
    left = list(own_state.rglob("*.json"))
    assert [path.stem for path in left] == [str(process.pid)]
    assert find_running_broker() is None
    with record_broker("redis+socket:///tmp/next.sock"):
        assert find_running_broker() == "redis+socket:///tmp/next.sock"
        assert not left[0].exists()


def test_of_two_the_later_is_found_and_the_earlier_once_that_one_has_ended() -> None:
    with another_up("redis://first"):
        with record_broker("redis://second"):
            assert find_running_broker() == "redis://second"
        assert find_running_broker() == "redis://first"
    assert find_running_broker() is None


def test_a_password_is_for_its_owner_only(own_state: Path) -> None:
    with record_broker("redis://:secret@host/0"):
        (record,) = own_state.rglob("*.json")
        assert record.stat().st_mode & 0o077 == 0
        assert record.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"broker_url": "redis://x"}', '{"started_at": "now"}'])
def test_a_record_that_makes_no_sense_is_ignored(own_state: Path, text: str) -> None:
    folder = own_state / "webinfer/stacks"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(text)
    assert find_running_broker() is None


@pytest.mark.parametrize(
    "text", ["[]", '{"broker_url": "redis://x"}', '{"started_at": "now", "broker_url": 1}']
)
def test_a_held_record_that_makes_no_sense_is_ignored(own_state: Path, text: str) -> None:
    with another_up("redis://x"):
        (record,) = own_state.rglob("*.json")
        record.write_text(text)
        assert find_running_broker() is None


def test_a_machine_without_a_home_folder_has_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert TaskSettings().broker_url == STANDARD_URL
