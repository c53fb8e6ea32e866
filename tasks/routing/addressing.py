"""The queue of a request: that of the caller's queue or browser, else the router's choice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from browser_runtime.contract.errors import NoWorker
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Browser
from tasks.routing.router import DEFAULT_QUEUE, INBOX, Choice, Route, choose_route, keys_of, place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.app import WebinferApp
    from tasks.routing.serving import Presence

# What a caller of `apply_async`, or Celery for a signature that says where to go, may name it by.
NAMED_BY = ("queue", "exchange", "routing_key")
UNROUTED = (INBOX, DEFAULT_QUEUE)


def find_named_queue(options: Mapping[str, Any]) -> str | None:
    """The queue that the options of a message name, as text; those of unrouted requests name none."""
    named = next((options[name] for name in NAMED_BY if options.get(name)), None)
    queue = str(getattr(named, "name", named))
    return None if named is None or queue in UNROUTED else queue


def set_queue(options: dict[str, Any], queue: str) -> None:
    """Let the options of a message name `queue`, and nothing else."""
    for name in NAMED_BY:
        options.pop(name, None)
    options["queue"] = queue


def find_route(app: WebinferApp, request: Request, queue: str | None) -> Route:
    """The route of `request`, to `queue` if that is named. Raises NoWorker."""
    keys = keys_of(request.family, request.model_name, str(request.precision), *request.backends[:1])
    draw = random.random()  # noqa: S311 - a share of the requests, not a secret
    table = app.routing.get().table
    return _with_workers(
        app, lambda presence: choose_route(keys, request.browser, queue, table, draw, presence)
    )


def find_place(app: WebinferApp, browser: Browser) -> Route:
    """The queue of `browser`, or of another where it has no worker. Raises NoWorker."""
    choice = Choice(browser, f"{browser} is the usual choice")
    others = [other for other in Browser if other is not browser]
    return _with_workers(app, lambda presence: place(choice, others, presence))


def _with_workers(app: WebinferApp, choose: Callable[[Presence | None], Route]) -> Route:
    """The route chosen by who serves now, looked up once more before a request is refused."""
    try:
        return choose(app.routing.get().presence)
    except NoWorker:
        presence = None if app.settings.wait_for_workers else app.routing.refresh().presence
        return choose(presence)
