"""Log lines that nobody forges: names in them come from messages, pages and models, whoever wrote those."""

from __future__ import annotations

import logging
import re

# What a terminal or a reader of lines obeys: controls, separators of lines, marks that turn the text around.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """`text` with its control characters written out, so that it is one line and steers no terminal."""
    return CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class OneLineFormatter(logging.Formatter):
    """Another's lines, of which each record's message is one and those of a traceback are indented."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        plain = logging.makeLogRecord(record.__dict__ | {"msg": one_line(record.getMessage()), "args": None})
        head, *rest = self._inner.format(plain).split("\n")
        return "\n".join([head, *(f"  {CONTROLS.sub(' ', line)}" for line in rest)])


def guard_lines(logger: logging.Logger) -> None:
    """Let no record of this logger's handlers look like two."""
    for handler in logger.handlers:
        if not isinstance(handler.formatter, OneLineFormatter):
            handler.setFormatter(OneLineFormatter(handler.formatter or logging.Formatter()))
