"""Signals that end a command, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, signal
from webinfer.signals import take_signals

async def work():
    try:
        signal.raise_signal({number})
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "kept"

signal.signal({number}, signal.SIG_DFL)  # whatever the shell had ignored
take_signals()
print(asyncio.run(work()))
try:
    signal.raise_signal({number})
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_acts_as_ctrl_c_does_in_asyncio_too(number: signal.Signals) -> None:
    """There it cancels the task, which keeps what it has; elsewhere it is a KeyboardInterrupt."""
    program = PROGRAM.format(number=int(number))
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["kept", "stopped"]), done.stderr
