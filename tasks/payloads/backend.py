"""Celery's Redis result backend, with large arrays beside the result and restored where it is read."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery.backends.redis import RedisBackend, ResultConsumer  # type: ignore[attr-defined]  # stubs too short
from celery.utils.log import get_logger
from kombu.exceptions import EncodeError, OperationalError
from kombu.utils.json import dumps as dumps_json
from kombu.utils.json import loads as loads_json

from browser_runtime.contract.errors import InferenceError, TooLarge
from tasks.broker.essential_writes import EssentialRedis
from tasks.broker.redis_clients import OUTAGES, REDIS_AWAY
from tasks.coroutines import is_handing_over
from tasks.payloads.claims import Claims, find_claims
from tasks.payloads.codec import CodecError
from tasks.payloads.plain import to_plain
from tasks.sending.continuation import continuing
from tasks.sending.headers import reads_tensors

log = get_logger(__name__)

# How long large results stay after they were read: time to read them again elsewhere.
READ_TTL_S = 300
# A stored result is a map, a chord's part a list: no message of the tensor codec begins like their JSON.
JSON_STARTS = (b"{", b"[")


# A send fails after about two seconds without Redis; waiting for a result has Celery's twenty.
SEND_POLICY = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1.0}


class _Local(threading.local):
    in_haste = False
    """True while a task is being sent, which is to fail soon if it must."""
    in_json = False
    """True while what is stored is for a program without our app."""


class _Listening(threading.local):
    is_forgetting = False
    """A result is being forgotten, by the garbage collector perhaps."""


class Listener(ResultConsumer):  # type: ignore[misc]
    """Celery's subscription to results, which an outage during a send does not end for good.

    Such a send gives up within seconds and leaves Celery's consumer without a connection, yet with a list of
    what it takes itself to be subscribed to: whoever waits for an earlier result would wait for ever.
    """

    _pubsub: Any
    _get_key_for_task: Any
    subscribed_to: set[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._here = _Listening()

    def start(self, initial_task_id: str, **kwargs: Any) -> None:
        """Subscribe to one result; after an outage to the earlier ones too, and look what was missed."""
        if not self.subscribed_to:
            super().start(initial_task_id, **kwargs)
            return
        self.subscribed_to.add(self._get_key_for_task(initial_task_id))
        self._subscribe_anew()

    def drain_events(self, timeout: float | None = None) -> None:
        """Read what has arrived."""
        if self._pubsub is None and self.subscribed_to:
            self._subscribe_anew()
        super().drain_events(timeout)

    def cancel_for(self, task_id: str) -> None:
        """Forget a result. Never raises or waits, since the garbage collector calls this."""
        self._here.is_forgetting = True
        try:
            super().cancel_for(task_id)
        except (RuntimeError, *self._connection_errors):  # Redis is away, and its subscriptions with it
            self._pubsub = None
        finally:
            self._here.is_forgetting = False

    def _reconnect(self) -> None:
        if self._here.is_forgetting:  # the next wait for a result reconnects
            raise redis.ConnectionError("the subscription to results is gone")
        super()._reconnect()

    def _subscribe_anew(self) -> None:
        with self.reconnect_on_error():
            self._reconnect_pubsub()


class TensorBackend(RedisBackend):
    """Celery finds this class by name: see `tasks.app`."""

    ResultConsumer = Listener

    # Celery's stubs stop short of the backend's own attributes.
    app: Any
    expires: int
    content_type: str
    content_encoding: str
    get: Any
    get_key_for_task: Any
    result_consumer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._local = _Local()
        super().__init__(*args, **kwargs)

    def _get_pool(self, **params: Any) -> Any:
        """The connections of this backend, closed when it goes: Celery drops a thread's with the thread."""
        pool = super()._get_pool(**params)  # type: ignore[misc]
        weakref.finalize(self, pool.disconnect).atexit = False
        return pool

    def _get_client(self) -> Any:
        return EssentialRedis if self.app.serves else super()._get_client()  # type: ignore[misc]

    def _encode(self, data: Any) -> tuple[str, str, bytes]:
        """The stored form of `data`; its large arrays live as long as the result. Raises EncodeError."""
        if self._local.in_json:
            return "application/json", "utf-8", dumps_json(to_plain(data)).encode()
        try:
            payload = self._claims().dumps(data, self.expires)
        except (CodecError, TooLarge) as error:
            raise EncodeError(error) from error  # the one error of a result that Celery's tracer expects
        return self.content_type, self.content_encoding, payload

    def decode(self, payload: Any) -> Any:
        """The stored value with its arrays, writable as any fresh array. Raises ClaimExpired."""
        if payload[:1] in JSON_STARTS:
            return loads_json(payload)
        value = super().decode(payload)
        if next(find_claims(value), None) is None:
            return value
        found = self._claims().redeem(value)
        self._claims().expire(value, min(READ_TTL_S, self.expires))
        return _writable(found)

    def _call_task_errbacks(self, request: Any, exc: BaseException, traceback: Any) -> None:
        """Send what `link_error` names. What cannot be sent is logged: the failure is stored by now.

        In stock Celery the error takes the worker's slot with it: nobody acknowledges the message any more.
        """
        try:
            super()._call_task_errbacks(request, exc, traceback)  # type: ignore[misc]
        except OUTAGES:
            raise
        except Exception:
            log.exception("errback not sent: task=%s", request.id)

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Listen for the result of a task that is about to be sent. Raises OperationalError."""
        self._local.in_haste = True
        try:
            super().on_task_call(producer, task_id)
        except RuntimeError as error:  # Celery's word for: no connection after all tries
            self.result_consumer.subscribed_to.discard(self.get_key_for_task(task_id))
            raise OperationalError("Redis, where results are kept, cannot be reached") from error
        finally:
            self._local.in_haste = False

    def ensure(self, fun: Any, args: Any, **policy: Any) -> Any:
        """The value of `fun`, tried again while Redis is away: patiently, but not to send a task."""
        return super().ensure(fun, args, **(SEND_POLICY if self._local.in_haste else {}) | policy)

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **options: Any) -> Any:
        """Store a result as its task's sender can read it."""
        with self._for_sender(options.get("request")):
            return super().store_result(task_id, result, state, *args, **options)

    @contextmanager
    def _for_sender(self, request: Any) -> Iterator[None]:
        before, self._local.in_json = self._local.in_json, not reads_tensors(request)
        try:
            yield
        finally:
            self._local.in_json = before

    def mark_as_failure(self, task_id: str, exc: Exception, *args: Any, **options: Any) -> Any:
        """Store the failure, ours where Celery has wrapped an error of ours; send what is to follow it.

        Redis going away is nobody's failure: raised where it sends the message back to its queue.
        """
        if isinstance(exc, REDIS_AWAY) and is_handing_over():
            raise exc
        inner = exc.args[0] if isinstance(exc, EncodeError) and exc.args else exc
        found = inner if isinstance(inner, InferenceError) else exc
        with continuing(options.get("request")):
            return super().mark_as_failure(task_id, found, *args, **options)

    def on_chord_part_return(self, request: Any, state: str, result: Any, *args: Any, **options: Any) -> Any:
        """Count a chord's part as done; after the last one the body is sent, or the chord's error."""
        with continuing(request), self._for_sender(request):
            return super().on_chord_part_return(request, state, result, *args, **options)

    def _forget(self, task_id: str) -> None:
        """Delete the result and the arrays beside it."""
        payload = self.get(self.get_key_for_task(task_id))
        if payload:
            self._claims().discard(super().decode(payload))
        super()._forget(task_id)  # type: ignore[misc]

    def _claims(self) -> Claims:
        claims: Claims = self.app.claims
        return claims


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    return value.copy() if hasattr(value, "setflags") else value
