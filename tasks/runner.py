"""The runner of this process: what a worker bound to answer requests. Producers have none."""

from __future__ import annotations

from typing import Any, Protocol

from kombu.utils.imports import symbol_by_name

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.messages import Reply, Request
from browser_runtime.contract.pieces import PieceSink
from browser_runtime.contract.setup import remedies
from browser_runtime.contract.setup.extras import require
from browser_runtime.contract.status import PoolStatus


class Runner(Protocol):
    """A worker's part that `infer` needs, such as `browser_runtime.pool.Pool`. Coroutines run on its loop."""

    async def run(self, request: Request, pieces: PieceSink | None = None) -> Reply:
        """The reply, its pieces given to `pieces` while it grows. Raises InferenceError."""

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back."""

    async def resize(self, n_sessions: int) -> int:
        """Grow or shrink to `n_sessions`; the number reached."""

    def status(self) -> PoolStatus:
        """The live state."""


_bound: list[Runner] = []


def bind_runner(runner: Runner | None) -> None:
    """From now on `runner` answers this process's requests; None takes it away."""
    _bound[:] = [] if runner is None else [runner]


def bound_runner() -> Runner | None:
    """The runner, or None where no worker has bound one."""
    return _bound[0] if _bound else None


def need_runner(*, here: bool = False) -> Runner:
    """The runner; with `here`, where none is bound, one of this process's own. Raises SetupError."""
    if _bound:
        return _bound[0]
    if here:
        require("worker")
        # By name: a producer must not import the worker's room.
        own: Runner = symbol_by_name("workers.in_process:get_runner")()
        return own
    raise SetupError("A browser pool", f"start a worker that owns one: {remedies.WORKER}")
