"""Another queue for a request that its browser could not do: once, and only where it is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import redis
import structlog

from browser_runtime.contract.errors import FailedAt, InferenceError
from browser_runtime.contract.messages import Request
from tasks.routing.router import BROWSER_OF, MAX_ATTEMPTS, QUEUE_OF, alternatives, keys_of
from tasks.routing.serving import served

if TYPE_CHECKING:
    from tasks.app import WebinferApp

# The step's name among the attempts of a reply, as a pool of several browsers has it.
OTHER_BROWSER = "other browser"
# Characters of an error that travel with its request: onnxruntime's may hold a whole graph's names.
MAX_MESSAGE = 2000

log = structlog.get_logger(__name__)


def is_reroutable(error: InferenceError, route: Mapping[str, Any]) -> bool:
    """True if another browser may do it, none was tried before, and the request names none itself."""
    return error.reroute and route.get("queue") in BROWSER_OF and not (route.get("fixed") or "after" in route)


def find_other_queue(
    app: WebinferApp, request: Request, route: Mapping[str, Any], error: InferenceError
) -> dict[str, Any] | None:
    """The route to the next best browser whose queue is served; None where there is none, or Redis is away.

    `after` in it says where the request has been and why it could not stay. Blocks.
    """
    tried = BROWSER_OF[route["queue"]]
    keys = keys_of(request.family, request.model_name, str(request.precision), *request.backends[:1])
    queues = [QUEUE_OF[browser] for browser in alternatives(keys, app.routing.get().table, tried)]
    try:
        alive = served(app.redis, app.settings.redis_prefix, queues)
    except redis.RedisError as failure:
        log.warning("request not rerouted", reason=str(failure))
        return None
    for queue in queues:
        if queue in alive:
            return _describe(queue, route, error)
    return None


def _describe(queue: str, route: Mapping[str, Any], error: InferenceError) -> dict[str, Any]:
    reason = f"{BROWSER_OF[route['queue']]} could not ({error.code()}); the next best that is served"
    after = {**route, "code": error.code(), "error": str(error)[:MAX_MESSAGE]}
    return {"queue": queue, "reason": reason, "after": after, "attempts": list_attempts(error, reason)}


def list_attempts(error: InferenceError, reason: str) -> list[dict[str, str]]:
    """The attempts that failed in this worker; the last step is the other browser."""
    earlier = [attempt.to_plain() for attempt in error.attempts[:-1]][1 - MAX_ATTEMPTS :]
    where = error.at or FailedAt("", "")
    last = {
        "session": where.session,
        "backend": where.backend,
        "error": error.code(),
        "message": str(error),
        "step": OTHER_BROWSER,
        "reason": reason,
    }
    return [attempt | {"message": attempt["message"][:MAX_MESSAGE]} for attempt in (*earlier, last)]
