"""Celery's Redis result backend, with large arrays beside the result and restored where it is read."""

from __future__ import annotations

import threading
from typing import Any

from celery.backends.redis import RedisBackend
from kombu.exceptions import EncodeError, OperationalError

from tasks.claims import Claims, find_claims
from tasks.codec import CodecError

# How long large results stay after they were read: time to read them again elsewhere.
READ_TTL_S = 300


# Who sends is told after about two seconds; who waits for a result has Celery's twenty.
SEND_POLICY = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1.0}


class _Hurry(threading.local):
    on = False


class TensorBackend(RedisBackend):
    """Celery finds this class by name: see `tasks.app`."""

    # Celery's stubs stop short of the backend's own attributes.
    app: Any
    expires: int
    content_type: str
    content_encoding: str
    get: Any
    get_key_for_task: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._hurry = _Hurry()
        super().__init__(*args, **kwargs)

    def _encode(self, data: Any) -> tuple[str, str, bytes]:
        """The stored form of `data`; its large arrays live as long as the result. Raises EncodeError."""
        try:
            payload = self._claims().dumps(data, self.expires)
        except CodecError as error:
            raise EncodeError(str(error)) from error
        return self.content_type, self.content_encoding, payload

    def decode(self, payload: Any) -> Any:
        """The stored value with its arrays, writable as any fresh array. Raises ClaimExpired."""
        value = super().decode(payload)
        if next(find_claims(value), None) is None:
            return value
        found = self._claims().redeem(value)
        self._claims().expire(value, min(READ_TTL_S, self.expires))
        return _writable(found)

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Listen for the result of a task that is about to be sent. Raises OperationalError."""
        self._hurry.on = True
        try:
            super().on_task_call(producer, task_id)
        except RuntimeError as error:  # Celery's word for: no connection after all tries
            raise OperationalError("Redis, where results are kept, cannot be reached") from error
        finally:
            self._hurry.on = False

    def ensure(self, fun: Any, args: Any, **policy: Any) -> Any:
        """The value of `fun`, tried again while Redis is away: patiently, but not to send a task."""
        return super().ensure(fun, args, **(SEND_POLICY if self._hurry.on else {}) | policy)

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
