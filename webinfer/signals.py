"""Signals that end a command act like Ctrl-C, so that everything it started is stopped in order."""

from __future__ import annotations

import signal


def take_signals() -> None:
    """Handle SIGINT, SIGTERM and SIGHUP as Ctrl-C, also if the shell had SIGINT ignored (`&`, `nohup`)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a terminal that goes away, unless with nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
