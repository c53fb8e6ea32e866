"""Every polite end of a command is a Ctrl-C: what it started is taken down in order."""

from __future__ import annotations

import signal


def take_signals() -> None:
    """Also where a shell had its child ignore Ctrl-C: behind `nohup`, or an ampersand."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # a terminal that goes away, unless with nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
