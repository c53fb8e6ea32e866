"""Remote control: `celery inspect browser_status`, `celery control resize 3`. Neither ever blocks."""

from __future__ import annotations

from typing import Any

from celery.worker.control import control_command, inspect_command
from celery.worker.state import active_requests, all_total_count

from browser_runtime.contract.status import SystemMemory, WorkerStatus
from tasks.routing.router import BROWSER_OF
from tasks.runner import bound_runner

NONE = "this worker owns no browsers"


@inspect_command(default_timeout=2.0)
def browser_status(state: Any, **_: Any) -> dict[str, Any]:
    """The browser sessions of a worker: state, models, memory; its queues and what it has answered."""
    runner = bound_runner()
    if runner is None:
        return {"error": NONE}
    import psutil  # every `celery` command imports this file, a producer's too

    memory = psutil.virtual_memory()
    status = WorkerStatus(
        runner.status(),
        tuple(sorted(name for name in state.app.amqp.queues.consume_from if name in BROWSER_OF)),
        state.consumer.pool.limit,
        all_total_count[0] - len(active_requests),
        SystemMemory(memory.percent, memory.total),
    )
    return status.to_wire()


@inspect_command(default_timeout=5.0)
def browser_metrics(state: Any, **_: Any) -> dict[str, Any]:
    """The values of ResourcePoolBridgeIntegration.get_metrics(), of a worker's own pool."""
    telemetry = getattr(state.consumer.controller, "telemetry", None)
    return {"error": NONE} if telemetry is None else telemetry.report()


@control_command(args=[("n", int)], signature="<N>")
def resize(state: Any, n: int, **_: Any) -> dict[str, str]:
    """Grow or shrink a worker to N browser sessions (1..8)."""
    sizing = state.consumer.pool.sizing
    if sizing is None:
        return {"error": NONE}
    try:
        sizing.resize(int(n))
    except ValueError as error:
        return {"error": str(error)}
    return {"ok": f"resizing from {sizing.n_sessions} to {int(n)} sessions"}
