"""Structured log lines of this room through the standard library's logging, for whoever hosts the runtime."""

from __future__ import annotations

import structlog
from structlog.typing import EventDict, WrappedLogger

from browser_runtime.contract.setup.log_lines import one_line

# Of these a value is a text of several lines by nature.
STACKS = frozenset(("exception", "exc_info", "stack", "stack_info"))
PLAIN = (bool, int, float, type(None))


def escape_fields(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    """A processor: no value, whoever chose it, ends its line."""
    return {
        name: one_line(str(value)) if name not in STACKS and not isinstance(value, PLAIN) else value
        for name, value in fields.items()
    }


def log_through_stdlib() -> None:
    """Send structlog's lines to `logging`, under each module's name; the host's handlers and level decide."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            escape_fields,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # The host may choose otherwise later, and a module's first line must not hold it to this.
        cache_logger_on_first_use=False,
    )
