"""Many requests in one message, which one worker answers with a list: `infer.starmap`, `map`, `chunks`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from celery import canvas
from celery.canvas import Signature
from celery.result import ResultBase

from browser_runtime.contract.errors import BadInput, Busy, InferenceError
from browser_runtime.contract.vocabulary import shown
from tasks.app import app
from tasks.browser_task import Arguments, BrowserTask
from tasks.coroutines import ForwardWanted, RetryWanted
from tasks.infer import infer
from tasks.payloads.codec import Readable
from tasks.routing.addressing import find_named_queue, find_route, set_queue
from tasks.sending.headers import stamp
from tasks.sending.wire import is_message, read_request


class InferMany(BrowserTask):
    """The replies to checked requests, in their order; all from the browser that the first one goes to."""

    name = "infer_many"
    autoretry_for = (Busy,)
    retry_backoff = 1
    max_retries = 3
    throws = (InferenceError,)

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Arguments:
        """The requests, routed as the first one is. Raises BadInput, NoWorker."""
        messages = kwargs.get("requests") or []
        if not messages or not all(isinstance(each, dict) and is_message(each) for each in messages):
            raise BadInput("requests", "no list of checked requests", "made by infer.starmap")
        queue = find_named_queue(options)
        route = find_route(self.app, read_request(messages[0]["request"], {}), queue)
        if queue is None:
            set_queue(options, route.queue)
        stamp(options, fixed=queue is not None)
        # None of them is sent elsewhere alone: their replies are one list.
        together = route.to_wire() | {"fixed": True}
        options.setdefault("argsrepr", "()")
        options.setdefault("kwargsrepr", f"{len(messages)} requests")
        return (), {"requests": [each | {"route": together} for each in messages]}

    async def body(self, requests: Any = None) -> Readable:
        """The replies. Raises the first InferenceError."""
        if not isinstance(requests, list) or not all(isinstance(each, dict) for each in requests):
            raise BadInput("requests", "no list of checked requests", "made by infer.starmap")
        try:
            replies = await asyncio.gather(*(infer.body(**each) for each in requests))
        except ForwardWanted as wanted:
            raise ForwardWanted({"requests": requests}, wanted.queue) from None
        except RetryWanted as wanted:
            raise wanted.options["exc"] from None
        return Readable([reply.value for reply in replies], f"{len(replies)} replies")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """The result is stored: the large inputs are not needed for another delivery any more."""
        self.app.claims.discard(kwargs)


def make_starmap(items: Iterable[Any]) -> Signature[Any]:
    """One message for the requests whose positional arguments are `items`. Raises BadInput, TooLarge."""
    return infer_many.signature((), {"requests": [dict(infer.s(*item).kwargs) for item in items]})


def make_map(items: Iterable[Any]) -> Signature[Any]:
    """One message for the requests whose named arguments are `items`, a dict each. Raises BadInput."""
    return infer_many.signature((), {"requests": [dict(_named(item).kwargs) for item in items]})


def _named(item: object) -> Signature[Any]:
    if not isinstance(item, Mapping):
        raise BadInput("infer.map", f"given an item of type {type(item).__name__}", "given a dict for each")
    return infer.s(**item)


class Chunks(canvas.group):
    """A group of `make_starmap`, under the names that Celery's own chunks have."""

    def group(self) -> canvas.group:
        """A plain group."""
        return canvas.group(self.tasks, **self.options)

    def apply_chunks(self, **options: Any) -> ResultBase:
        """Send them."""
        return self.apply_async(**options)


def make_chunks(items: Iterable[Any], n: int) -> Chunks:
    """The requests whose positional arguments are `items`, `n` to a message. Raises BadInput, TooLarge."""
    if type(n) is not int or n < 1:
        raise BadInput("n", shown(n), "a whole number from 1: the requests of each message")
    rest, parts = iter(items), []
    while part := list(islice(rest, n)):
        parts.append(make_starmap(part))
    return Chunks(parts)


infer_many = app.adopt(InferMany())
