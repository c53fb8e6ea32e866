"""Send requests as any producer would, with a missing broker told in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import ResultSet
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import InferenceError, SetupError
from browser_runtime.contract.setup.environment import redact
from browser_runtime.contract.setup.remedies import STACK
from tasks.app import app, configuration
from tasks.infer import infer

Answer = dict[str, Any] | InferenceError
"""A reply, or what there is in its place."""

# Of a result that is said to be there: its large arrays are fetched.
ARRIVED_TIMEOUT_S = 60.0


def use_broker(url: str) -> None:
    """Point this process's producer, imported already and not used yet, at another Redis."""
    os.environ["WEBINFER_BROKER_URL"] = url
    app.__dict__.pop("settings", None)
    app.conf.update(configuration(app.settings))


def send(*, priority: int | None = None, **request: Any) -> Any:
    """The pending result of one `infer`. Raises BadRequest for bad input, SetupError without a broker."""
    options = {} if priority is None else {"priority": priority}
    try:
        return infer.apply_async(kwargs=request, **options)
    except OperationalError as error:
        raise no_broker(error) from error


def collect(result: Any, timeout_s: float) -> dict[str, Any]:
    """The reply. Raises the error the worker raised, SetupError when no worker answers in time."""
    try:
        reply: dict[str, Any] = result.get(timeout=timeout_s)
    except InferenceError:
        raise
    except ResultTimeout as error:
        raise _no_answer(timeout_s) from error
    except (redis.RedisError, OperationalError) as error:
        raise no_broker(error) from error
    except Exception as error:  # whatever Celery makes of a task that was ended, revoked or lost
        raise InferenceError(f"The task failed: {type(error).__name__}: {error}") from error
    return reply


def ask_all(
    requests: Sequence[Mapping[str, Any]], timeout_s: float, *, priority: int | None = None
) -> Iterator[tuple[int, Answer]]:
    """Each request's number with its reply or its error, as they come; one's failure is no other's.

    Who stops listening, or has waited `timeout_s` for all, has what is still to come revoked. Raises
    SetupError where no broker takes the first.
    """
    pending: dict[str, tuple[int, Any]] = {}
    try:
        for number, request in enumerate(requests):
            try:
                result = send(priority=priority, **request)
                pending[result.id] = (number, result)
            except SetupError:
                if number == 0:
                    raise
                yield number, no_broker()
            except InferenceError as error:
                yield number, error
        for task_id in _as_they_come([result for _, result in pending.values()], timeout_s):
            number, result = pending.pop(task_id)
            yield number, _answer_of(result)
        for number, _ in pending.values():
            yield number, _no_answer(timeout_s)
    finally:
        if pending:
            _revoke(list(pending))


def _as_they_come(results: list[Any], timeout_s: float) -> Iterator[str]:
    """The ids of results that are there; ends when the time is over. Raises SetupError."""
    if not results:
        return
    try:
        for task_id, _ in ResultSet(results).iter_native(timeout=timeout_s):
            yield task_id
    except ResultTimeout:
        return
    except (redis.RedisError, OperationalError) as error:
        raise no_broker(error) from error


def _answer_of(result: Any) -> Answer:
    try:
        return collect(result, ARRIVED_TIMEOUT_S)
    except InferenceError as error:
        return error


def _revoke(ids: list[str]) -> None:
    """Nobody waits any more: no worker need compute it."""
    with suppress(redis.RedisError, OperationalError, OSError):
        app.control.revoke(ids, terminate=True)


def _no_answer(timeout_s: float) -> SetupError:
    why = f"no worker answered within {timeout_s:g} s"
    return SetupError("an answer", f"{why}; is one up for this queue? start `{STACK}`")


def no_broker(error: Exception | None = None) -> SetupError:
    """The sentence for a Redis that does not answer; the address without its password."""
    address = redact(app.settings.broker_url)
    return SetupError(
        "a Redis that answers", f"{address} does not; start `{STACK}` or set WEBINFER_BROKER_URL"
    )
