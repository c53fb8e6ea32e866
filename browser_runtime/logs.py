"""Structured log lines of this room through the standard library's logging, for whoever hosts the runtime."""

from __future__ import annotations

import structlog


def log_through_stdlib() -> None:
    """Send structlog's lines to `logging`, under each module's name; the host's handlers and level decide."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
