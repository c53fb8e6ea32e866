"""A request on its way through the pool, and the line in which it waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.models.store import StoredModel
from browser_runtime.session.loading import items_of, load_options


@dataclass(eq=False)
class Order:
    """One request, and the future that somebody awaits."""

    request: Request
    model: StoredModel
    arrived: float
    """Monotonic time of its arrival in the pool."""
    deadline: float | None
    reply: asyncio.Future[Reply]
    attempts: int = 0
    """Sessions that were lost while it ran or its model was loaded."""
    n_blamed: int = 0
    """Those of them in which nothing but itself ran: of a batch nobody knows who ended it."""
    alone: bool = False
    """True: it runs by itself: a batch with it failed, so that it shall fail or succeed alone."""
    running: bool = False
    reasons: tuple[str, ...] = ()
    """Why it went where it went."""
    shunned: set[Browser] = field(default_factory=set)
    """Browsers that turned out unable to run it."""
    timer: asyncio.TimerHandle | None = None
    items: list[Any] = field(init=False)
    key: str = field(init=False)
    """Orders with the same key can run as one batch: same model, precision, backends and options."""
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.items = items_of(self.request)
        self.alone = self.alone or not self.items  # it only loads its model, which is no part of a batch
        self.key = _batch_key(self.request, self.model)
        self.size_bytes = sum(map(_size_bytes, self.items))

    @property
    def settled(self) -> bool:
        """Whether nobody needs its answer any more."""
        return self.reply.done()


def _batch_key(request: Request, model: StoredModel) -> str:
    options = json.dumps(request.options, sort_keys=True)
    backends = ",".join(request.backends)
    return "|".join((model.name, model.revision, str(request.precision), backends, options))


def _size_bytes(item: Any) -> int:
    return int(item.nbytes) if hasattr(item, "nbytes") else len(item)


def model_need(request: Request, model: StoredModel) -> str:
    """What tells one loaded model from another, whatever its backend."""
    flags = "+".join(sorted(load_options(request)))
    return "|".join((model.name, model.revision[:12], str(request.precision), flags))


def merge(orders: list[Order]) -> Request:
    """One request with the items of all `orders`, in their order; they share a key."""
    first = orders[0].request
    if len(orders) == 1:
        return first
    name = next(iter(first.inputs))
    items = [item for order in orders for item in order.items]
    return replace(first, inputs={name: items}, single=False)


def share_results(orders: list[Order], results: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Each order's slice of a run's results, in order."""
    shares, start = [], 0
    for order in orders:
        shares.append(results[start : start + len(order.items)])
        start += len(order.items)
    return shares


def latest_deadline(orders: Iterable[Order]) -> float | None:
    """When nobody waits any more; None when somebody waits for ever."""
    deadlines = [order.deadline for order in orders]
    known = [deadline for deadline in deadlines if deadline is not None]
    return max(known) if len(known) == len(deadlines) else None


class Line:
    """Orders in the order of their arrival; one that failed elsewhere goes back to its place."""

    def __init__(self) -> None:
        self._orders: list[Order] = []

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Order]:
        return iter(list(self._orders))

    def put(self, order: Order) -> None:
        """Add an order behind those that arrived before it."""
        order.running = False
        place = len(self._orders)
        while place > 0 and self._orders[place - 1].arrived > order.arrived:
            place -= 1
        self._orders.insert(place, order)

    def take(self, orders: Iterable[Order]) -> None:
        """Remove `orders`; those that are not here are passed over."""
        gone = set(map(id, orders))
        self._orders = [order for order in self._orders if id(order) not in gone]

    def prune(self) -> None:
        """Drop the orders that nobody waits for."""
        self._orders = [order for order in self._orders if not order.settled]

    def count(self, matches: Callable[[Order], bool]) -> int:
        """How many waiting orders match."""
        return sum(map(matches, self._orders))
