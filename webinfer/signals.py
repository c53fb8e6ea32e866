"""Signals that end a command act like Ctrl-C, so that everything it started is stopped in order."""

from __future__ import annotations

import signal
from types import FrameType


def take_signals() -> None:
    """Handle SIGINT, SIGTERM and SIGHUP as Ctrl-C, also if the shell had SIGINT ignored (`&`, `nohup`)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a terminal that goes away, unless with nohup
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Act as Ctrl-C does at that moment: asyncio handles it otherwise while its loop runs."""
    signal.raise_signal(signal.SIGINT)
