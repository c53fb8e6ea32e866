"""Another user of this machine, who tries what he may not: root becomes him; others try as themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# Of no name, so that nothing is his.
STRANGER = 61234
CONNECT_S, ANSWER_S = 2, 5


def run_as_stranger(script: str, *arguments: str, timeout_s: float = 60) -> str:
    """The output of a shell script that somebody else runs."""
    identity = {"user": STRANGER, "group": STRANGER, "extra_groups": []} if os.geteuid() == 0 else {}
    words = ["bash", "-c", script, "bash", *arguments]
    ran = subprocess.run(
        words, capture_output=True, text=True, cwd="/", timeout=timeout_s, check=False, **identity
    )  # type: ignore[call-overload]
    return str(ran.stdout)


def can_connect(port: int) -> bool:
    """Whether he reaches a port on loopback."""
    script = f"timeout {CONNECT_S} bash -c 'exec 3<>/dev/tcp/127.0.0.1/$0' $1 2>/dev/null && echo reached"
    return "reached" in run_as_stranger(script, str(port))


def post(port: int, path: str, body: str) -> str:
    """The answer that he gets to a request; empty where none comes."""
    script = f"""
      exec 3<>/dev/tcp/127.0.0.1/$1 || exit
      printf 'POST %s HTTP/1.1\\r\\nHost: localhost:%s\\r\\n' "$2" "$1" >&3
      printf 'Content-Type: application/json\\r\\n' >&3
      printf 'Content-Length: %s\\r\\nConnection: close\\r\\n\\r\\n%s' "${{#3}}" "$3" >&3
      timeout {ANSWER_S} cat <&3
    """
    return run_as_stranger(script, str(port), path, body)


def write_program(folder: Path, output: Path) -> Path:
    """His program, which tells whose rights it was run with."""
    program = folder / "program"
    program.write_text(f"#!/bin/sh\nid -u > {output}\n")
    program.chmod(0o755)
    return program
