"""Which queue a request goes to, and why. Pure: no I/O, no settings.

Every browser has one queue, named after the family it is the prior choice for. A measured table may be given
in the place of the prior; it says for `"<family>/<model>"` or `"<family>"` which browser has been fastest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from browser_runtime.vocabulary import PREFERRED_BROWSER, Browser, Family

QUEUE_OF = {
    Browser.FIREFOX: "firefox-audio",
    Browser.CHROME: "chrome-vision",
    Browser.EDGE: "edge-text",
}
BROWSER_OF = {queue: browser for browser, queue in QUEUE_OF.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """A browser and the evidence for it: a row of a routing table."""

    browser: Browser
    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    queue: str
    reason: str

    def to_wire(self) -> dict[str, str]:
        """Plain values: they travel with the request and come back in the reply's `routing`."""
        return {"queue": self.queue, "reason": self.reason}


PRIOR: Mapping[str, Choice] = {
    str(family): Choice(browser, f"{browser} is the prior choice for {family}")
    for family, browser in PREFERRED_BROWSER.items()
}


def choose_route(
    family: Family,
    model_name: str,
    browser: Browser | None = None,
    queue: str | None = None,
    table: Mapping[str, Choice] = PRIOR,
) -> Route:
    """The queue asked for, else that of the browser asked for, else that of the table's choice."""
    if queue is not None:
        return Route(queue, "the request names this queue")
    if browser is not None:
        return Route(QUEUE_OF[browser], f"the request names the browser {browser}")
    choice = table.get(f"{family}/{model_name}") or table.get(str(family)) or PRIOR[str(family)]
    return Route(QUEUE_OF[choice.browser], choice.reason)
