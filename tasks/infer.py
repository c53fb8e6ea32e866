"""The task `infer`: one inference, checked where it is sent and run where the browsers are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import redis
from celery.canvas import Signature
from celery.result import AsyncResult
from kombu.exceptions import EncodeError, OperationalError

from browser_runtime.contract.errors import BadInput, Busy, InferenceError
from browser_runtime.contract.messages import Request
from tasks.addressing import find_named_queue, find_route
from tasks.app import WebinferApp, app
from tasks.arguments import bind, build_request, check_partial, is_complete
from tasks.codec import Readable
from tasks.continuation import finished_request
from tasks.coroutines import BrowserTask
from tasks.inputs.arrival import check_batch, check_plain
from tasks.rerouting import find_other_queue, is_reroutable
from tasks.router import read_route
from tasks.runner import need_runner
from tasks.sending import stamp
from tasks.summaries import describe_reply, describe_request

# What the message of a checked request holds; a user never passes these.
WIRE = ("request", "route")
# Celery counts them with the retries of Busy, which come before and after.
REROUTED_RETRIES = 8


class Infer(BrowserTask):
    """infer(model_type, model_name, inputs, priority_list=None, precision="fp32", browser=None,
    options=None, deadline_s=None, hardware_preferences=None)

    The reply as a dict with NumPy arrays: see `browser_runtime.contract.messages.Reply`.
    Raises BadInput, TooLarge or NoWorker where it is called; `get()` raises what the worker met.
    """

    name = "infer"
    app: WebinferApp
    # A busy pool may be free in a moment, here or in another worker. A lost session has been tried
    # on others already by the pool; more of it is the request's own doing.
    autoretry_for = (Busy,)
    retry_backoff = 1
    retry_backoff_max = 30
    max_retries = 3
    # An expected refusal is one line in the worker's log, not a traceback.
    throws = (InferenceError,)

    def apply_async(  # type: ignore[override]  # the stubs list every option by name
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult[Any]:
        """Check, route and send. Raises BadInput, TooLarge, NoWorker; OperationalError when Redis is away."""
        message = self._checked(args or (), kwargs or {})
        _route(self.app, message, options)
        stamp(options)
        options.setdefault("argsrepr", "()")
        options.setdefault("kwargsrepr", describe_request(message["request"]))
        try:
            return super().apply_async((), message, **options)
        except EncodeError as error:
            raise _translated(error) from error

    def signature(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Signature[Any]:
        """A signature whose inputs are checked and plain already, unless some come later in a chain."""
        named = dict(kwargs or {})
        if not _is_wire(named):
            named = bind(args or (), named)
            if is_complete(named):
                named = self._checked((), named)
            else:
                check_partial(named)
        return super().signature((), named, *rest, **options)

    def _checked(self, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The message's arguments: a request on the wire, whatever of it was given before."""
        if _is_wire(kwargs):
            return _without_extra(kwargs, args)
        # What follows another task came in a message: it must not pick files of this machine.
        own = finished_request() is None
        request = build_request(bind(args, kwargs), self.app.settings.limits(), allow_paths=own)
        return {"request": request.to_wire()}

    async def body(self, *args: Any, **message: Any) -> Readable:
        """Run the request on this worker's runner. Raises InferenceError."""
        if args or "request" not in message or not set(message) <= set(WIRE):
            raise BadInput("message", "not one of tasks.infer", "sent with infer.delay or infer.apply_async")
        request, route = message["request"], read_route(message.get("route"))
        order = await self._opened(request)
        try:
            reply = await need_runner().run(order)
        except InferenceError as error:
            await self._reroute(order, request, route, error)
            raise
        routing = route | reply.routing
        plain = replace(reply, routing=routing, synthetic_input=order.synthetic).to_dict()
        return Readable(plain, describe_reply(plain))

    async def _reroute(
        self, order: Request, wire: dict[str, Any], route: dict[str, Any], error: InferenceError
    ) -> None:
        """Send the request once more, to the next best queue that is served, where another browser may do it.

        Returns where it stays here. Raises RetryWanted, which is no failure: the caller goes on waiting.
        """
        if not is_reroutable(error, route) or self.request.is_eager:
            return
        other = await asyncio.to_thread(find_other_queue, self.app, order, route, error)
        if other is not None:
            again = {"request": wire, "route": other}
            self.retry(
                args=(),
                kwargs=again,
                exc=error,
                countdown=0,
                queue=other["queue"],
                max_retries=REROUTED_RETRIES,
            )

    async def _opened(self, wire: Any) -> Request:
        """The request with its large arrays, checked whole before anything waits for it.

        Raises BadRequest, ClaimExpired.
        """
        limits = self.app.settings.limits()
        claimed = Request.from_wire(wire)
        check_batch(claimed, limits)
        order = replace(claimed, inputs=await self.app.claims.redeem_off_loop(claimed.inputs))
        check_plain(order, limits)
        return order

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """The result is stored: the large inputs are not needed for another delivery any more."""
        self.app.claims.discard(kwargs)


def _is_wire(kwargs: dict[str, Any]) -> bool:
    return "request" in kwargs


def _without_extra(kwargs: dict[str, Any], args: Any) -> dict[str, Any]:
    """A checked request as it stands; what is added to a complete signature would be lost silently."""
    extra = [name for name in kwargs if name not in WIRE]
    if extra or args:
        told = ", ".join(extra) or f"{len(args)} positional arguments"
        raise BadInput(
            "infer", f"given {told} on top of a complete signature", "a new signature; or use .si()"
        )
    return dict(kwargs)


def _route(app: WebinferApp, message: dict[str, Any], options: dict[str, Any]) -> None:
    """Set the queue in `options` and the reason in `message`, unless an earlier delivery did."""
    queue = find_named_queue(options)
    if "route" in message and queue is not None:
        return
    route = find_route(app, Request.from_wire(message["request"] | {"inputs": {}}), queue)
    if queue is None:
        options["queue"] = route.queue
    message["route"] = route.to_wire()


def _translated(error: EncodeError) -> Exception:
    """What the serializer met: too large a message, or no Redis to deposit an array in."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, InferenceError):
        return cause
    return OperationalError(str(cause)) if isinstance(cause, redis.RedisError) else error


infer = app.adopt(Infer())
