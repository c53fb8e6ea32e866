"""Command line options of a worker, and its own remote control commands for `celery inspect|control`."""

from __future__ import annotations

import click
from celery.bin.base import CeleryOption

import workers.control  # noqa: F401 - the command line knows only the commands that are registered
from browser_runtime.contract.vocabulary import Browser
from workers.execution.sizing import MAX_SESSIONS, MIN_SESSIONS

GROUP = "Browser Options"
# More lanes than this in one page only take turns at the processors.
MAX_LANES = 8

OPTIONS = [
    CeleryOption(
        ("--browser",),
        type=click.Choice([str(browser) for browser in Browser]),
        help="Browser to own; default: the one the queues of -Q are named after.",
        help_group=GROUP,
    ),
    CeleryOption(
        ("--sessions",),
        type=click.IntRange(MIN_SESSIONS, MAX_SESSIONS),
        default=1,
        show_default=True,
        help="Browsers to start.",
        help_group=GROUP,
    ),
    CeleryOption(
        ("--lanes",),
        type=click.IntRange(1, MAX_LANES),
        default=1,
        show_default=True,
        help="Requests one browser computes side by side.",
        help_group=GROUP,
    ),
]
