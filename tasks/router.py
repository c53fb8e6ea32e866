"""Which queue a request goes to, and why. Pure: no I/O, no settings, no chance of its own.

Every browser has one queue, named after the family it is the prior choice for. A measured table may be given
before the prior: it ranks the browsers for a model, and says which share of its requests each shall get.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.vocabulary import PREFERRED_BROWSER, Browser, Family

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
    share: float = 1.0
    """Of the requests that this key is looked up for."""


Table = Mapping[str, tuple[Choice, ...]]
"""Choices by key, the best first; see `keys_of`."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    queue: str
    reason: str
    fixed: bool = False
    """True: the request itself names the queue or browser, so it goes nowhere else."""

    def to_wire(self) -> dict[str, Any]:
        """Plain values: they travel with the request and come back in the reply's `routing`."""
        return {"queue": self.queue, "reason": self.reason} | ({"fixed": True} if self.fixed else {})


PRIOR: Table = {
    str(family): (Choice(browser, f"{browser} is the prior choice for {family}"),)
    for family, browser in PREFERRED_BROWSER.items()
}


def keys_of(family: Family, model_name: str, precision: str = "", backend: str = "") -> tuple[str, ...]:
    """Where a table is looked up, the most special key first."""
    model = f"{family}/{model_name}"
    special = (f"{model}|{precision}|{backend}",) if backend else ()
    return (*special, f"{model}|{precision}", model, str(family))


def find_choices(keys: tuple[str, ...], table: Table) -> tuple[Choice, ...]:
    """The choices under the first key that the table has, else the prior's."""
    for key in keys:
        if key in table:
            return table[key]
    return PRIOR[keys[-1]]


def choose_route(
    keys: tuple[str, ...],
    browser: Browser | None = None,
    queue: str | None = None,
    table: Table = PRIOR,
    draw: float = 0.0,
) -> Route:
    """The queue asked for, else that of the browser asked for, else that of the table's choice.

    `draw`, evenly from [0, 1), picks among the table's choices by their shares; 0 picks the best.
    """
    if queue is not None:
        return Route(queue, "the request names this queue", fixed=True)
    if browser is not None:
        return Route(QUEUE_OF[browser], f"the request names the browser {browser}", fixed=True)
    choice = pick(find_choices(keys, table), draw)
    return Route(QUEUE_OF[choice.browser], choice.reason)


def pick(choices: tuple[Choice, ...], draw: float) -> Choice:
    """The choice in whose share `draw` falls; the best where the shares do not reach that far."""
    for choice in choices:
        if draw < choice.share:
            return choice
        draw -= choice.share
    return choices[0]


def alternatives(keys: tuple[str, ...], table: Table, tried: Browser) -> tuple[Browser, ...]:
    """The other browsers, the next best first: those the table ranks, then the rest."""
    ranked = [choice.browser for choice in find_choices(keys, table)]
    return tuple(browser for browser in dict.fromkeys([*ranked, *Browser]) if browser is not tried)
