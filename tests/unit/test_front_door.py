"""`from webinfer import infer, app`, whatever else a project calls `tasks`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tasks
import webinfer

OURS = """
from celery import Celery
from webinfer import app as theirs, infer
app = Celery("mine", broker="memory://")

@app.task
def mine():
    return infer.name
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(webinfer.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_doors_lead_to_the_same() -> None:
    assert webinfer.infer is tasks.infer and webinfer.app is tasks.app
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        webinfer.other  # noqa: B018


def test_a_project_with_its_own_tasks_has_both(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(OURS)
    told = "print(tasks.mine.name, tasks.infer.name, tasks.app.main, tasks.theirs.main, tasks.__file__)"
    for code in (f"import tasks; {told}", f"from webinfer import infer; import tasks; {told}"):
        done = run(tmp_path, "-c", code + "; tasks.infer.s(model_type='text', model_name='m', inputs='x')")
        assert done.stdout.split() == [
            "tasks.mine",
            "infer",
            "mine",
            "webinfer",
            str(tmp_path / "tasks.py"),
        ], done.stderr


def test_the_celery_command_finds_either_app(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(OURS)
    ours = run(tmp_path, "-m", "celery", "-A", "webinfer", "report")
    assert "tensor" in ours.stdout, ours.stderr
    theirs = run(tmp_path, "-m", "celery", "-A", "tasks", "report")
    assert "broker_url: 'memory:" in theirs.stdout, theirs.stderr
    helped = run(tmp_path, "-m", "webinfer", "infer", "--help")
    assert helped.returncode == 0, helped.stderr


def test_one_module_twice_is_said(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/__init__.py").touch()
    (tmp_path / "tasks/infer.py").touch()
    done = run(tmp_path, "-c", "from webinfer import infer")
    assert "both have a module tasks.infer: give yours another name" in done.stderr


@pytest.mark.parametrize("room", ["webinfer", "tasks", "browser_runtime", "workers", "scheduler"])
def test_types_are_told(room: str) -> None:
    assert (Path(webinfer.__file__).parent.parent / room / "py.typed").exists()


SCHEDULER = """
import sys
from webinfer import app
assert "scheduler.history.drain" not in app.tasks, "a producer knows the scheduler's tasks"
{made}
print(any(name.startswith("scheduler.") for name in app.tasks), app.conf.beat_scheduler)
"""
BY_COMMAND = "beat = app.Beat(scheduler=app.conf.beat_scheduler); print(beat.scheduler_cls)"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (BY_COMMAND, "scheduler.beat:OnceScheduler True scheduler.beat:OnceScheduler"),
        (
            "app.conf.beat_schedule = {'ask': {'task': 'infer', 'schedule': 60}}\n" + BY_COMMAND,
            "PersistentScheduler False",
        ),
        ("app.Worker(queues=['analytics'], pool='solo')", "True scheduler.beat:OnceScheduler"),
        ("app.Worker(queues='watch', pool='solo')", "True scheduler.beat:OnceScheduler"),
        ("app.Worker(queues=['celery'], pool='solo')", "False celery.beat:PersistentScheduler"),
    ],
    ids=["beat", "beat with an own schedule", "analytics", "watch", "celery"],
)
def test_one_app_runs_the_scheduler_too(tmp_path: Path, made: str, told: str) -> None:
    done = run(tmp_path, "-c", SCHEDULER.format(made=made))
    assert told in " ".join(done.stdout.split()), done.stdout + done.stderr


def test_documents_and_deployment_name_one_app() -> None:
    home = Path(__file__).parents[2]
    files = [
        *home.glob("*.md"),
        *home.glob("*.yml"),
        *(home / "docs").glob("*.md"),
        *(home / "deploy").rglob("*"),
    ]
    other = re.compile(r"-A[\s\",-]+(tasks|scheduler)\b")
    found = {path.name for path in files if path.is_file() and other.search(path.read_text(errors="replace"))}
    assert found == set()
