"""The router: chooses the queue of a request, and says why. Pure: no I/O, no settings, no chance of its own.

Every browser has one queue, named after the family it is the prior choice for. A measured table may be given
before the prior: it ranks the browsers for a model, and says which share of its requests each shall get.
Where the queue chosen so has no worker, the request goes to the next best that has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput, NoWorker
from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Backend, Browser, Family, shown
from tasks.routing.serving import Presence

QUEUE_OF = {
    Browser.FIREFOX: "firefox-audio",
    Browser.CHROME: "chrome-vision",
    Browser.EDGE: "edge-text",
}
BROWSER_OF = {queue: browser for browser, queue in QUEUE_OF.items()}
INBOX = "webinfer"
"""Requests that nobody has routed yet: each worker with a browser takes them, and sends on what others do."""
DEFAULT_QUEUE = "celery"
"""Celery's own: what is no inference, and requests of programs that know no better."""


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
    """The queue of a request, and the reason for it."""

    queue: str
    reason: str
    fixed: bool = False
    """True: the request itself names the queue or browser, so it goes nowhere else."""
    preferred: str = ""
    """The queue it would have gone to, had that a worker."""

    def to_wire(self) -> dict[str, Any]:
        """Plain values: they travel with the request and come back in the reply's `routing`."""
        more = {"fixed": True} if self.fixed else {"preferred": self.preferred} if self.preferred else {}
        return {"queue": self.queue, "reason": self.reason} | more


# What a message may say of its route, and of the one before it (`after`).
_ROUTE = {
    "queue": str,
    "reason": str,
    "fixed": bool,
    "preferred": str,
    "code": str,
    "error": str,
    "after": dict,
    "attempts": list,
}
MAX_WORDS = 4000
# What a message may say of each attempt that failed before, and how many it may name.
_ATTEMPT = {"session", "backend", "error", "message", "step", "reason"}
MAX_ATTEMPTS = 16


def read_route(wire: Any) -> dict[str, Any]:
    """The route in a message, for the reply's `routing`; empty where there is none. Raises BadInput."""
    if wire is None:
        return {}
    if not isinstance(wire, dict) or not all(
        name in _ROUTE and isinstance(value, _ROUTE[name]) for name, value in wire.items()
    ):
        raise BadInput("route", shown(wire), "a route as tasks.infer gives it")
    attempts = wire.get("attempts", [])
    if len(attempts) > MAX_ATTEMPTS or not all(map(_is_attempt, attempts)):
        raise BadInput(
            "route", shown(attempts), f"at most {MAX_ATTEMPTS} attempts as a reply's routing has them"
        )
    for part in (wire, *attempts):
        if sum(len(value) for value in part.values() if isinstance(value, str)) > MAX_WORDS:
            raise BadInput("route", "too long", f"at most {MAX_WORDS} characters")
    return wire if "after" not in wire else {**wire, "after": _read_last(wire["after"])}


def _is_attempt(wire: Any) -> bool:
    return (
        isinstance(wire, dict) and wire.keys() == _ATTEMPT and all(isinstance(v, str) for v in wire.values())
    )


def _read_last(wire: Mapping[str, Any]) -> dict[str, Any]:
    """A request is rerouted once."""
    if "after" in wire:
        raise BadInput("route", "rerouted twice", "rerouted at most once")
    return read_route(wire)


def join_routing(route: Mapping[str, Any], routing: Mapping[str, Any]) -> dict[str, object]:
    """A reply's `routing`: how it came to its worker, and what happened there; the attempts of both."""
    attempts = [*route.get("attempts", []), *routing.get("attempts", [])]
    if "attempts" not in route:
        return {**route, **routing}
    return {**route, **routing, "attempts": attempts, "attempt": len(attempts) + 1}


PRIOR: Table = {
    str(family): (Choice(browser, f"{browser} is the prior choice for {family}"),)
    for family, browser in PREFERRED_BROWSER.items()
}


WEBNN_PRIOR = Choice(
    Browser.EDGE,
    f"webnn is asked for first, no browser is known to have run it, and {Browser.EDGE} is the prior choice",
)


def keys_of(family: Family, model_name: str, precision: str = "", backend: str = "") -> tuple[str, ...]:
    """Keys under which a table is looked up, the most special one first."""
    model = f"{family}/{model_name}"
    special = (f"{model}|{precision}|{backend}",) if backend else ()
    return (*special, f"{model}|{precision}", model, str(family))


def proof_key(family: str, backend: str) -> str:
    """The key of the browsers that have run models of a family on a backend."""
    return f"{family}|{backend}"


def find_choices(keys: tuple[str, ...], table: Table) -> tuple[Choice, ...]:
    """The choices under the first key that the table has, else the prior's.

    What was measured on other backends says nothing to a request that asks for WebNN first, which not every
    browser has: it goes to one that has run its family there, and before any has, to the prior's.
    """
    if keys[0] not in table and keys[0].endswith(f"|{Backend.WEBNN}"):
        return table.get(proof_key(keys[-1], Backend.WEBNN), (WEBNN_PRIOR,))
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
    presence: Presence | None = None,
) -> Route:
    """The queue asked for, else that of the browser asked for, else that of the table's choice.

    `draw`, evenly from [0, 1), picks among the table's choices by their shares; 0 picks the best. `presence`
    tells which queues have workers: a request that names neither queue nor browser goes to none without.
    Raises NoWorker where no queue has one.
    """
    if queue is not None:
        return Route(queue, "the request names this queue", fixed=True)
    if browser is not None:
        return Route(QUEUE_OF[browser], f"the request names the browser {browser}", fixed=True)
    choice = pick(find_choices(keys, table), draw)
    return place(choice, alternatives(keys, table, choice.browser), presence)


def place(choice: Choice, others: Iterable[Browser], presence: Presence | None) -> Route:
    """The route to the choice's queue where it has a worker, else to the next best that has one.

    A queue whose worker is only expected, after a restart or at a start, comes after those that are served.
    Raises NoWorker.
    """
    wanted = QUEUE_OF[choice.browser]
    if presence is None or wanted in presence.served:
        return Route(wanted, choice.reason)
    queues = [wanted, *(QUEUE_OF[browser] for browser in others)]
    for state, word in ((presence.served, "is served"), (presence.expected, "is expected to be served")):
        found = next((queue for queue in queues if queue in state), None)
        if found == wanted:
            return Route(wanted, choice.reason)
        if found is not None:
            reason = f"no worker serves {wanted} ({choice.reason}); {found} is the next best that {word}"
            return Route(found, reason, preferred=wanted)
    raise NoWorker(", ".join(queues), wanted)


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
