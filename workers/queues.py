"""The browser that a worker owns, from its options and its queues. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from browser_runtime.contract.vocabulary import Browser
from tasks.routing.router import BROWSER_OF, QUEUE_OF


class Contradiction(ValueError):
    """The worker's options do not name one browser."""


def plan_browser(queues: Iterable[str], browser: str | None) -> Browser | None:
    """The browser the worker is to own; None where it consumes no browser's queue.

    Raises Contradiction where its queues, or its queues and --browser, name different browsers.
    """
    named = {BROWSER_OF[queue] for queue in queues if queue in BROWSER_OF}
    if browser is not None:
        named.add(Browser(browser))
    if len(named) > 1:
        found = ", ".join(f"{name} ({QUEUE_OF[name]})" for name in sorted(named))
        raise Contradiction(
            f"a worker owns one browser, but these are named: {found}; choose one queue with -Q"
        )
    return named.pop() if named else None
