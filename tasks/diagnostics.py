"""Two tasks that infer nothing: what the queue costs, and what the way to a page and back costs."""

from __future__ import annotations

from typing import Any

from browser_runtime.contract.vocabulary import Browser, parse_browser
from tasks.app import app
from tasks.browser_task import Arguments, BrowserTask
from tasks.payloads.codec import Readable
from tasks.payloads.summaries import describe_value
from tasks.routing.addressing import find_named_queue, find_place, set_queue
from tasks.routing.router import QUEUE_OF
from tasks.runner import need_runner


class BrowserBound(BrowserTask):
    """Goes to the queue of `browser`, a keyword of `delay`; else to Chrome's, or another that is served."""

    abstract = True

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Arguments:
        """The arguments as they are. Raises BadInput, NoWorker."""
        browser = parse_browser(kwargs["browser"]) if "browser" in kwargs else None
        if find_named_queue(options) is None:
            queue = QUEUE_OF[browser] if browser else find_place(self.app, Browser.CHROME).queue
            set_queue(options, queue)
        options.setdefault("argsrepr", describe_value(list(args)))
        options.setdefault("kwargsrepr", describe_value(kwargs))
        return args, kwargs


class Noop(BrowserBound):
    """noop(browser="chrome"): None, by way of the queue, the worker and the result store."""

    name = "noop"

    async def body(self, browser: str = "chrome") -> None:
        """Nothing."""


class Echo(BrowserBound):
    """echo(value, browser="chrome"): `value`, arrays included, by way of a page."""

    name = "echo"

    async def body(self, value: Any, browser: str = "chrome") -> Readable:
        """`value` after its way to a page and back."""
        opened = await self.app.claims.redeem_off_loop(value)
        echoed = await need_runner(here=self.is_here).echo(opened)
        return Readable(echoed, describe_value(echoed))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """The result is stored: the large arrays are not needed for another delivery any more."""
        self.app.claims.discard([args, kwargs])


noop = app.adopt(Noop())
echo = app.adopt(Echo())
