"""A runner that reports its runs to observers, with the circumstances of each request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.pieces import PieceSink
from browser_runtime.contract.status import PoolStatus
from tasks.infer import infer
from tasks.runner import Runner
from tasks.sending.headers import waited_ms
from tasks.telemetry.observer import RunObserver
from tasks.telemetry.rows import RequestOrigin


class ObservedRunner:
    """The runner itself, which reports every run to observers."""

    def __init__(self, runner: Runner, observers: Sequence[RunObserver], browser: str) -> None:
        self._runner, self._observers, self._browser = runner, observers, browser

    def __repr__(self) -> str:
        return repr(self._runner)

    async def run(self, request: Request, pieces: PieceSink | None = None) -> Reply:
        """The reply, its pieces given to `pieces` while it grows. Raises InferenceError."""
        start, origin = time.monotonic(), _origin()
        try:
            reply = await self._runner.run(request, pieces)
        except InferenceError as error:
            took_s = time.monotonic() - start
            for observer in self._observers:
                observer.failed(request, error, origin, self._browser, took_s)
            raise
        reply = reply.with_times(broker_ms=origin.broker_ms)
        for observer in self._observers:
            observer.ran(request, reply, origin)
        return reply

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back."""
        return await self._runner.echo(value)

    async def resize(self, n_sessions: int) -> int:
        """Grow or shrink; the number reached."""
        return await self._runner.resize(n_sessions)

    def status(self) -> PoolStatus:
        """The live state."""
        return self._runner.status()


def _origin() -> RequestOrigin:
    """The circumstances of the request that this coroutine serves, as Celery knows them."""
    context = infer.request
    route = (context.kwargs or {}).get("route") if isinstance(context.kwargs, dict) else None
    queue = (context.delivery_info or {}).get("routing_key") or ""
    reason = route.get("reason", "") if isinstance(route, dict) else ""
    broker_ms = waited_ms(vars(context), context.eta, time.time())
    return RequestOrigin(str(context.id or ""), str(queue), str(reason), broker_ms)
