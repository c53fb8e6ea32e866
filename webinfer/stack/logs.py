"""Logging of the command: to standard error, one line each, warnings and above by default."""

from __future__ import annotations

import logging
import sys

import structlog

from browser_runtime.logs import escape_fields
from webinfer.settings import CommandSettings


def configure_logs() -> None:
    """Send structlog's lines to standard error at WEBINFER_LOG_LEVEL. Raises BadSetting."""
    level = logging.getLevelNamesMapping()[CommandSettings().log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            escape_fields,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
