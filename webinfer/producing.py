"""Sends requests as any producer does; a missing broker or worker becomes one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult, ResultSet
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import InferenceError, NotReady
from browser_runtime.contract.setup.environment import redact
from browser_runtime.contract.setup.remedies import STACK
from tasks.app import app, configuration
from tasks.infer import infer
from tasks.streaming.stream import Stream

ReplyDict = dict[str, Any]
"""A reply as `get()` returns it."""

Answer = ReplyDict | InferenceError
"""A reply, or the error in its place."""

# Fetching a result that has arrived, with its large arrays.
ARRIVED_TIMEOUT_S = 60.0


def use_broker(url: str) -> None:
    """Point this process's producer at another Redis; it may be imported already, but not used."""
    os.environ["WEBINFER_BROKER_URL"] = url
    app.__dict__.pop("settings", None)
    app.conf.update(configuration(app.settings))


def send(*, priority: int | None = None, **request: object) -> AsyncResult[Any]:
    """The pending result of one `infer`. Raises BadRequest for bad input, NotReady without a broker."""
    options = {} if priority is None else {"priority": priority}
    try:
        return infer.apply_async(kwargs=request, **options)
    except OperationalError as error:
        raise no_broker() from error


@contextmanager
def open_stream(
    request: Mapping[str, object], timeout_s: float, *, priority: int | None = None
) -> Iterator[PieceReader]:
    """The pieces of one generated reply; the request is stopped if the block ends before it.

    Raises InferenceError, NotReady without a broker, or if the reply has not ended after `timeout_s`.
    """
    options = {} if priority is None else {"priority": priority}
    try:
        with infer.open_stream(dict(request), **options) as stream:
            yield PieceReader(stream, timeout_s)
    except (redis.RedisError, OperationalError) as error:
        raise no_broker() from error


class PieceReader:
    """Iterates over the pieces of a stream. Raises InferenceError, NotReady."""

    def __init__(self, stream: Stream, timeout_s: float) -> None:
        self._stream, self._timeout_s = stream, timeout_s

    @property
    def reply(self) -> ReplyDict | None:
        """The whole reply; None until the pieces have ended."""
        return self._stream.reply

    def __iter__(self) -> Iterator[str]:
        with translating(self._timeout_s):
            yield from self._stream.pieces(self._timeout_s)


def collect(result: AsyncResult[Any], timeout_s: float) -> ReplyDict:
    """The reply. Raises the error that the worker raised, NotReady if none answers in time."""
    with translating(timeout_s):
        reply: ReplyDict = result.get(timeout=timeout_s)
    return reply


@contextmanager
def translating(timeout_s: float) -> Iterator[None]:
    """Within it, whatever waiting for a reply raises becomes an InferenceError."""
    try:
        yield
    except InferenceError:
        raise
    except ResultTimeout as error:
        raise _no_answer(timeout_s) from error
    except (redis.RedisError, OperationalError) as error:
        raise no_broker() from error
    except Exception as error:  # revoked, timed out or lost: Celery has a class for each
        raise InferenceError(f"The task failed: {type(error).__name__}: {error}") from error


def ask_all(
    requests: Sequence[Mapping[str, object]], timeout_s: float, *, priority: int | None = None
) -> Iterator[tuple[int, Answer]]:
    """Each request's number with its reply or error, as they arrive.

    A request that fails does not affect the others. Requests still unanswered after `timeout_s` (for all of
    them), or when the caller stops iterating, are revoked. Raises NotReady if no broker takes the first
    request.
    """
    pending: dict[str, tuple[int, AsyncResult[Any]]] = {}
    try:
        for number, request in enumerate(requests):
            try:
                result = send(priority=priority, **request)
                pending[result.id] = (number, result)
            except NotReady:
                if number == 0:
                    raise
                yield number, no_broker()
            except InferenceError as error:
                yield number, error
        for task_id in _arrivals([result for _, result in pending.values()], timeout_s):
            number, result = pending.pop(task_id)
            yield number, _answer_of(result)
        for number, _ in pending.values():
            yield number, _no_answer(timeout_s)
    finally:
        if pending:
            _revoke(list(pending))


def _arrivals(results: list[AsyncResult[Any]], timeout_s: float) -> Iterator[str]:
    """The ids of results as they arrive, for `timeout_s` at most. Raises NotReady."""
    if not results:
        return
    try:
        for task_id, _ in ResultSet(results).iter_native(timeout=timeout_s):
            yield task_id
    except ResultTimeout:
        return
    except (redis.RedisError, OperationalError) as error:
        raise no_broker() from error


def _answer_of(result: AsyncResult[Any]) -> Answer:
    try:
        return collect(result, ARRIVED_TIMEOUT_S)
    except InferenceError as error:
        return error


def _revoke(ids: list[str]) -> None:
    """Cancel tasks that nobody waits for any more."""
    with suppress(redis.RedisError, OperationalError, OSError):
        app.control.revoke(ids, terminate=True)


def _no_answer(timeout_s: float) -> NotReady:
    return NotReady(
        f"No worker answered within {timeout_s:g} s", f"is one up for this queue? start `{STACK}`"
    )


def no_broker(url: str | None = None) -> NotReady:
    """The error for a Redis that does not answer, by default this process's broker; hides its password."""
    address = redact(url or app.settings.broker_url)
    return NotReady(f"No Redis answers at {address}", f"start `{STACK}` or set WEBINFER_BROKER_URL")
