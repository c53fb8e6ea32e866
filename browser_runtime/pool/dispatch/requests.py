"""A request on its way through the pool, and the queue in which it waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from browser_runtime.contract.answers import ItemResult
from browser_runtime.contract.errors import FailedAttempt
from browser_runtime.contract.messages import Reply, Request, Timings
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.pieces import PieceSink
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.models.files.graphs import GraphContent
from browser_runtime.models.store import StoredModel
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.loading import items_of, key_of, needed_contents
from browser_runtime.session.timed_calls import Deadline


@dataclass(eq=False)
class PendingRequest:
    """One request, and the future that somebody awaits."""

    request: Request
    model: StoredModel
    arrived: float
    """Monotonic time of its arrival in the pool."""
    deadline: Deadline | None
    reply: asyncio.Future[Reply]
    lengths: tuple[float, ...] = ()
    """For each item the length that a batch is padded to; 1 for each if none are given."""
    work: int = 1
    """All its items, in units that a run's time grows with."""
    attempts: int = 0
    """Times that a session, or the connection to it, was lost while it ran or its model was loaded."""
    blamed: set[str] = field(default_factory=set)
    """Sessions lost while nothing but itself ran: of a batch nobody knows who ended it."""
    hung: bool = False
    """True: a run with it hung, so that its turn comes after all others'."""
    alone: bool = False
    """True: it runs by itself: a batch with it failed, so that it shall fail or succeed alone."""
    lane: SessionLane | None = None
    """The lane it runs on; None while it waits."""
    reasons: tuple[str, ...] = ()
    """Reasons for the choice of its lane."""
    history: list[FailedAttempt] = field(default_factory=list)
    """Attempts that failed before, and what was done about them."""
    waits_since: float = 0.0
    """Monotonic time at which it was put into the queue last."""
    not_before: float = 0.0
    """Monotonic time before which it is not tried again."""
    max_items: int | None = None
    """Most items that it sends at once."""
    least_s: float | None = None
    """Least time limit of its next load or run."""
    avoided: set[str] = field(default_factory=set)
    """Sessions that did not answer it: others are tried first."""
    shunned: set[Browser] = field(default_factory=set)
    """Browsers that turned out unable to run it."""
    barred: dict[Backend, str] = field(default_factory=dict)
    """Backends that failed on it while it ran, and how: it goes on without them."""
    pieces: PieceSink | None = None
    """Takes its text as it is generated."""
    timer: asyncio.TimerHandle | None = None
    before: Timings = field(default_factory=Timings)
    """Times measured before it waited for a lane."""
    items: list[Any] = field(init=False)
    model_key: ModelKey = field(init=False)
    """The model as this request wants it opened, on any backend."""
    batch_key: tuple[ModelKey, tuple[Backend, ...], str] = field(init=False)
    """Requests with the same one can run as one batch: same model, precision, backends and options."""
    size_bytes: int = field(init=False)
    contents: tuple[GraphContent, ...] = field(init=False)
    """What a lane has to hold of its model."""

    def __post_init__(self) -> None:
        self.items = items_of(self.request)
        self.lengths = self.lengths or (1.0,) * len(self.items)
        # One that only loads its model is no part of a batch; prompts join a batch of their own in the page.
        self.alone = self.alone or not self.items or self.model.family.generates
        self.model_key = key_of(self.model, self.request)
        options = json.dumps(self.request.options, sort_keys=True)
        self.batch_key = (self.model_key, self.request.backends, options)
        self.size_bytes = sum(map(_size_bytes, self.items))
        self.contents = needed_contents(self.model, self.request)

    @property
    def size(self) -> int:
        """What the time of its runs is expected by: its items, or the tokens of a text that is generated."""
        return self.work if self.model.family.generates else len(self.items)

    @property
    def n_prompts(self) -> int:
        """Places that it takes where text is generated; one that only loads its model takes one as well."""
        return max(len(self.items), 1)

    @property
    def turn(self) -> tuple[bool, float]:
        """The key by which waiting requests are sorted."""
        return self.hung, self.arrived

    @property
    def running(self) -> bool:
        """True while a lane works on it."""
        return self.lane is not None

    @property
    def doing(self) -> str:
        """The current step, for an error's sentence."""
        if self.lane is None:
            return "it waited for a free browser session"
        return self.lane.activity.doing or "a browser session took it up"

    @property
    def settled(self) -> bool:
        """True when nobody needs its answer any more."""
        return self.reply.done()


def _size_bytes(item: Any) -> int:
    """Return the item's size in a frame; one that was refused never goes there."""
    return int(getattr(item, "nbytes", 0))


def merge(requests: list[PendingRequest]) -> Request:
    """Merge requests that share a key into one, their items in order."""
    first = requests[0].request
    if len(requests) == 1:
        return first
    name = next(iter(first.inputs))
    items = [item for pending in requests for item in pending.items]
    return replace(first, inputs={name: items}, single=False)


def share_results(requests: list[PendingRequest], results: list[ItemResult]) -> list[list[ItemResult]]:
    """Split a run's results by request, in order."""
    shares, start = [], 0
    for pending in requests:
        shares.append(results[start : start + len(pending.items)])
        start += len(pending.items)
    return shares


def count_done(requests: list[PendingRequest], results: list[ItemResult]) -> tuple[int, int]:
    """The size and the work of what a run has done: of generated text as many tokens as there turned out."""
    if not requests[0].model.family.generates:
        return sum(pending.size for pending in requests), sum(pending.work for pending in requests)
    outputs = [result["output"] for result in results if result["ok"]]
    n_tokens = sum(o["prompt_tokens"] - o["reused_tokens"] + o["generated_tokens"] for o in outputs)
    return n_tokens, n_tokens


def latest_deadline(requests: Iterable[PendingRequest]) -> Deadline | None:
    """Return the time from which nobody waits; None when somebody waits for ever."""
    deadlines = [pending.deadline for pending in requests]
    known = [deadline for deadline in deadlines if deadline is not None]
    return max(known, key=lambda deadline: deadline.at) if len(known) == len(deadlines) else None


class RequestQueue:
    """Requests by time of arrival; one that failed elsewhere goes back to its place, or behind all others
    where it hung."""

    def __init__(self) -> None:
        self._requests: list[PendingRequest] = []

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(list(self._requests))

    def put(self, pending: PendingRequest) -> None:
        """Add a request behind those that arrived before it, and behind those that did not hang."""
        pending.lane, pending.waits_since = None, time.monotonic()
        place = len(self._requests)
        while place > 0 and self._requests[place - 1].turn > pending.turn:
            place -= 1
        self._requests.insert(place, pending)

    def take(self, requests: Iterable[PendingRequest]) -> None:
        """Remove `requests`; those that are not here are passed over."""
        gone = set(map(id, requests))
        self._requests = [pending for pending in self._requests if id(pending) not in gone]

    def prune(self) -> None:
        """Drop the requests that nobody waits for."""
        self._requests = [pending for pending in self._requests if not pending.settled]

    def count(self, matches: Callable[[PendingRequest], bool]) -> int:
        """Count the waiting requests that match."""
        return sum(map(matches, self._requests))
