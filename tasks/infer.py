"""The task `infer`: one inference, checked where it is sent and run where the browsers are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from celery.canvas import Signature
from celery.result import EagerResult

from browser_runtime.contract.errors import BadInput, Busy, InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.contract.pieces import PieceSink
from tasks.app import app
from tasks.arguments import bind, build_request, check_partial, is_complete
from tasks.browser_task import Arguments, BrowserTask
from tasks.coroutines import ForwardWanted
from tasks.inputs.arrival import check_batch, check_plain
from tasks.keys import RedisKeys
from tasks.payloads.codec import Readable
from tasks.payloads.summaries import describe_reply, describe_request
from tasks.routing.addressing import find_named_queue, find_route, set_queue
from tasks.routing.rerouting import find_other_queue, is_reroutable
from tasks.routing.router import BROWSER_OF, INBOX, Route, join_routing, read_route
from tasks.runner import bound_runner, need_runner
from tasks.sending.continuation import finished_request
from tasks.sending.execution_options import check_values
from tasks.sending.headers import stamp
from tasks.sending.wire import check_message, is_message, read_request, to_message, unpack_inputs
from tasks.streaming.stream import Stream, check_streamable

# Celery counts them with the retries of Busy, which come before and after.
REROUTED_RETRIES = 8


class Infer(BrowserTask):
    """infer(model_type, model_name, inputs, priority_list=None, precision="fp32", browser=None,
    options=None, deadline_s=None, hardware_preferences=None)

    The reply as a dict with NumPy arrays: see `browser_runtime.contract.messages.Reply`.
    Raises BadInput, TooLarge or NoWorker where it is called; `get()` raises what the worker met.
    """

    name = "infer"
    # A busy pool may be free in a moment, here or in another worker. A lost session has been tried
    # on others already by the pool; more of it is the request's own doing.
    autoretry_for = (Busy,)
    retry_backoff = 1
    retry_backoff_max = 30
    max_retries = 3
    # An expected refusal is one line in the worker's log, not a traceback.
    throws = (InferenceError,)

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> Arguments:
        """The checked request, with the route in it. Raises BadInput, TooLarge, NoWorker."""
        message = self._checked(args, kwargs)
        self._address(message, options)
        options.setdefault("argsrepr", "()")
        options.setdefault("kwargsrepr", describe_request(message["request"]))
        return (), message

    def stream(self, *args: Any, **kwargs: Any) -> Stream:
        """Send one request whose reply is generated text, and give its pieces as they are generated.

        `for piece in infer.stream(model_type="text_generation", ...)`. Takes what `delay` takes, one input
        alone; raises what `delay` raises.
        """
        return self.open_stream(bind(args, kwargs))

    def open_stream(self, named: dict[str, Any], **options: Any) -> Stream:
        """Send like `stream`, with options of `apply_async` (`priority`, `countdown`, ...)."""
        message = self._checked((), named)
        check_streamable(read_request(message["request"], {}))
        if options.get("ignore_result"):
            raise BadInput("ignore_result", "True for a stream", "left out: a stream ends with the reply")
        if (given := options.get("task_id")) is not None and self.app.redis.exists(self._pieces_key(given)):
            raise BadInput("task_id", f"{given!r}, which names a stream already", "new for each stream")
        result = self.apply_async((), message | {"stream": True}, **options)
        key = self._pieces_key(result.id)
        return Stream(result, key, lambda: self.app.redis)

    def apply(  # type: ignore[override]  # the stubs list every option by name
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> EagerResult[Any]:
        """Check, and run in this process, in a browser that is started for it. Raises BadInput, TooLarge."""
        done: EagerResult[Any] = super().apply((), self._checked(args or (), kwargs or {}), **options)
        return done

    def signature(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Signature[Any]:
        """A signature whose inputs are checked and plain already, unless some come later in a chain.

        It names the inbox: whatever app sends it, a worker of ours takes it.
        """
        check_values(options)
        named = dict(kwargs or {})
        if not is_message(named):
            named = bind(args or (), named)
            if is_complete(named):
                named = self._checked((), named)
            else:
                check_partial(named)
        signature = super().signature((), named, *rest, **options)
        if find_named_queue(signature.options) is None:
            signature.set(queue=INBOX)
        return signature

    def starmap(self, it: Any) -> Any:
        """One message for the requests whose positional arguments are `it`'s items."""
        from tasks.many import make_starmap

        return make_starmap(it)

    def map(self, it: Any) -> Any:
        """One message for the requests whose named arguments are `it`'s items, a dict each."""
        from tasks.many import make_map

        return make_map(it)

    def chunks(self, it: Any, n: int) -> Any:
        """A group of `starmap`, of `n` items each."""
        from tasks.many import make_chunks

        return make_chunks(it, n)

    def _checked(self, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The message's arguments, whatever of them was given before."""
        if is_message(kwargs):
            return check_message(kwargs, args)
        # What follows another task came in a message: it must not pick files of this machine.
        own = finished_request() is None
        return to_message(build_request(bind(args, kwargs), self.app.settings.limits(), allow_paths=own))

    def _address(self, message: dict[str, Any], options: dict[str, Any]) -> None:
        """Set the queue in `options` and the reason in `message`, unless an earlier delivery did."""
        queue = find_named_queue(options)
        if queue is None or "route" not in message:
            route = find_route(self.app, read_request(message["request"], {}), queue)
            if queue is None:
                set_queue(options, route.queue)
            message["route"] = route.to_wire()
        stamp(options, fixed="fixed" in message["route"])

    async def body(self, *args: Any, **kwargs: Any) -> Readable:
        """Run the request on this worker's runner. Raises InferenceError."""
        message = await self._arrived(args, kwargs)
        route = await self._find_place(message)
        pending = await self._opened(message["request"])
        try:
            pieces = await self._open_stream(message, pending)
            reply = await need_runner(here=self.is_here).run(pending, pieces)
        except InferenceError as error:
            await self._reroute(pending, message, route, error)
            raise
        routing = join_routing(route, reply.routing)
        plain = replace(reply, routing=routing, synthetic_input=pending.synthetic).to_dict()
        return Readable(plain, describe_reply(plain))

    async def _arrived(self, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The message's arguments, those that another app sent as a user gives them checked now."""
        if is_message(kwargs):
            return check_message(kwargs, args)
        if self.is_here:
            return self._checked(args, kwargs)
        limits = self.app.settings.limits()
        named = bind(args, kwargs)
        return to_message(await asyncio.to_thread(build_request, named, limits, allow_paths=False))

    async def _find_place(self, message: dict[str, Any]) -> dict[str, Any]:
        """The route of a request that has arrived. Raises ForwardWanted where another worker is to do it."""
        queue = (self.request.delivery_info or {}).get("routing_key")
        if self.is_here:
            return {"reason": "run in the process of its caller"}
        earlier = read_route(message.get("route"))
        if queue in BROWSER_OF:
            return earlier or Route(queue, "the request names this queue", fixed=True).to_wire()
        request = read_request(message["request"], {})
        found = await asyncio.to_thread(find_route, self.app, request, None)
        route = found.to_wire()
        if bound_runner() is None or found.queue not in self.app.amqp.queues.consume_from:
            raise ForwardWanted(dict(message) | {"route": route}, found.queue)
        return route

    async def _reroute(
        self, pending: Request, message: Mapping[str, Any], route: Mapping[str, Any], error: InferenceError
    ) -> None:
        """Send the request once more, to the next best queue that is served, where another browser may do it.

        Returns where it stays here. Raises RetryWanted, which is no failure: the caller goes on waiting.
        """
        if not is_reroutable(error, route) or self.request.is_eager:
            return
        other = await asyncio.to_thread(find_other_queue, self.app, pending, route, error)
        if other is not None:
            self.retry(
                args=(),
                kwargs={**message, "route": other},
                exc=error,
                countdown=0,
                queue=other["queue"],
                max_retries=REROUTED_RETRIES,
            )

    async def _opened(self, wire: Mapping[str, Any]) -> Request:
        """The request with its large arrays, checked whole before anything waits for it.

        Raises BadRequest, ClaimExpired.
        """
        limits = self.app.settings.limits()
        claimed = read_request(wire, unpack_inputs(wire.get("inputs")))
        check_batch(claimed, limits)
        pending = replace(claimed, inputs=await self.app.claims.redeem_off_loop(claimed.inputs))
        check_plain(pending, limits)
        return pending

    def _pieces_key(self, task_id: object) -> str:
        return RedisKeys(self.app.settings.redis_prefix).pieces(str(task_id))

    async def _open_stream(self, message: Mapping[str, Any], pending: Request) -> PieceSink | None:
        """The sink of the reply's pieces; None if nobody reads them. Raises BadInput."""
        if not message.get("stream") or self.is_here:
            return None
        check_streamable(pending)
        key = self._pieces_key(self.request.id)
        return await asyncio.to_thread(self.app.stream_writer.open, key)

    def _end_stream(self, task_id: str, kwargs: Mapping[str, Any]) -> None:
        if is_message(kwargs) and kwargs.get("stream"):
            self.app.stream_writer.end(self._pieces_key(task_id))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: dict[str, Any]) -> None:
        """The result is stored: the large inputs are not needed for another delivery any more."""
        self._end_stream(task_id, kwargs)
        self._discard(kwargs)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: dict[str, Any], einfo: Any) -> None:
        """Likewise: a request that failed for good is not delivered again."""
        self._end_stream(task_id, kwargs)
        self._discard(kwargs)

    def _discard(self, kwargs: Mapping[str, Any]) -> None:
        if is_message(kwargs) and isinstance(kwargs["request"], dict):
            with suppress(BadInput):
                self.app.claims.discard(unpack_inputs(kwargs["request"].get("inputs")))


infer = app.adopt(Infer())
