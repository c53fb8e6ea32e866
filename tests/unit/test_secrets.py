"""Passwords in command lines, which every user of the machine can read, and names that a terminal obeys."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from browser_runtime.contract.setup.command_line import star_passwords
from tests.processes import running
from webinfer import words
from webinfer.tables import SafeConsole

STEERS = "a\x1b]0;title\x07\x1b[2Jb\u202ec\rd"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (b"--broker\0redis://:pass@h:6379/0\0", b"--broker\0redis://:****@h:6379/0\0"),
        (b"-b\0rediss://me:pass@h/0\0", b"-b\0rediss://me:****@h/0\0"),
        (b"--basic-auth=me:pass\0--port=1\0", b"--basic-auth=*******\0--port=1\0"),
        (b"--basic_auth\0me:pass\0", b"--basic_auth\0*******\0"),
        (b"redis://h:6379/0\0a@b:c\0", b"redis://h:6379/0\0a@b:c\0"),
        (b"sentinel://:p@a:1;sentinel://:q@b:2\0", b"sentinel://:*@a:1;sentinel://:*@b:2\0"),
    ],
)
def test_passwords_are_starred_in_place(given: bytes, shown: bytes) -> None:
    assert star_passwords(given) == shown
    assert len(shown) == len(given)


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "webinfer", "up", "--broker", "redis://me:hunter2@127.0.0.1:1/0"],
        ["-m", "celery", "-A", "webinfer", "-b", "redis://me:hunter2@127.0.0.1:1/0", "inspect", "ping"],
        ["-m", "celery", "-A", "webinfer", "webinfer-flower", "--basic-auth=me:hunter2", "--port=x"],
    ],
    ids=["up", "celery", "flower"],
)
def test_a_command_line_shows_no_password_once_the_command_runs(
    command: list[str],
) -> None:
    """The script stops itself where the command would begin, and is looked at."""
    script = (
        "import runpy, sys, os, signal\n"
        "import browser_runtime.contract.setup.command_line as c\n"
        "hide = c.hide_passwords\n"
        "def hidden():\n"
        "    hide(); sys.stdout.write('hidden\\n'); sys.stdout.flush(); sys.stdin.readline(); os._exit(0)\n"
        "c.hide_passwords = hidden\n"
        "module, sys.argv = sys.argv[2], sys.argv[2:]\n"
        "runpy.run_module(module, run_name='__main__', alter_sys=True)\n"
    )
    with running(
        [sys.executable, "-c", script, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hidden\n"
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert b"hunter2" not in line
    assert b"*******" in line


def test_no_name_steers_a_console() -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=60, highlight=False)
    console.print(f"[red]{STEERS}[/]", STEERS)
    told = stream.getvalue()
    assert "\x1b[31m" in told, "its own colours stay"
    assert not {"\x07", "\u202e", "\r"} & set(told)
    assert "\x1b]0" not in told
    assert "\x1b[2J" not in told


def test_a_model_that_writes_escapes_does_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words.say("piped\x07")
    words.say("failed\x1b[2J", err=True)
    printed = capsys.readouterr()
    assert printed.out == "piped\x07\n", "what goes into a file is what was generated"
    assert "\x1b" not in printed.err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    words.say("shown\x1b[2J")
    assert "\x1b" not in capsys.readouterr().out
