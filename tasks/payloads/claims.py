"""The claim check: arrays too large for a message wait in Redis under a key of their own.

Inputs are read with GET and deleted only after their task has succeeded, so that a task which is delivered
again finds them. Results have the time to live of the result they belong to until they are first read, and
a few minutes from then on: a second `get()` finds them, and Redis does not fill up with what was fetched.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import redis

from browser_runtime.contract.errors import ClaimExpired
from tasks.keys import RedisKeys
from tasks.payloads.codec import TOKEN_BYTES, Claim, array_from, dumps

_waits_s: ContextVar[float] = ContextVar("webinfer_message_waits_s", default=0.0)


@contextmanager
def waiting(seconds: float) -> Iterator[None]:
    """Within it, what is deposited belongs to a message that may wait so long before its time comes."""
    token = _waits_s.set(seconds)
    try:
        yield
    finally:
        _waits_s.reset(token)


class Claims:
    """Deposits, redeems and discards large arrays in one Redis."""

    def __init__(
        self, connect: Callable[[], redis.Redis], prefix: str, ttl_s: int, inline_limit_bytes: int
    ) -> None:
        self._connect, self._keys = connect, RedisKeys(prefix)
        self._ttl_s, self._inline_limit_bytes = ttl_s, inline_limit_bytes

    def dumps(self, value: Any, ttl_s: int | None = None) -> bytes:
        """The tensor message for `value`; arrays past the inline limit, all together, are deposited.

        They wait `ttl_s`, by default as long as inputs do, and as long as their message may wait before that.
        Those that were deposited earlier and travel on begin to wait anew.
        Raises CodecError, or redis.RedisError when the deposit fails.
        """
        deposits: list[tuple[Claim, np.ndarray[Any, Any]]] = []
        room = self._inline_limit_bytes
        travelling: list[Claim] = []

        def place(array: np.ndarray[Any, Any] | Claim) -> Claim | None:
            nonlocal room
            if isinstance(array, Claim):
                travelling.append(array)
                return array
            if array.nbytes <= room:
                room -= array.nbytes
                return None
            claim = Claim(secrets.token_bytes(TOKEN_BYTES), array.dtype.name, array.shape)
            deposits.append((claim, array))
            return claim

        message = dumps(value, place)
        ttl_s = ttl_s or self._ttl_s + math.ceil(_waits_s.get())
        self._store(deposits, ttl_s)
        if travelling:
            self.expire(travelling, ttl_s)
        return message

    async def redeem_off_loop(self, value: Any) -> Any:
        """As `redeem`, for coroutines: in a thread, and only where there is something to redeem."""
        if next(find_claims(value), None) is None:
            return value
        return await asyncio.to_thread(self.redeem, value)

    def redeem(self, value: Any) -> Any:
        """`value` with its claims replaced by read-only arrays. Raises ClaimExpired, redis.RedisError."""
        claims = list(find_claims(value))
        if not claims:
            return value
        found: list[Any] = self._connect().mget([self._key(claim) for claim in claims])
        arrays = {claim.token: self._opened(claim, data) for claim, data in zip(claims, found, strict=True)}
        return _replace(value, arrays)

    def expire(self, value: Any, ttl_s: int) -> None:
        """Let the arrays behind the claims in `value` go after `ttl_s`."""
        pipeline = self._connect().pipeline(transaction=False)
        for claim in find_claims(value):
            pipeline.expire(self._key(claim), ttl_s)
        pipeline.execute()

    def discard(self, value: Any) -> None:
        """Delete the arrays behind the claims in `value`."""
        keys = [self._key(claim) for claim in find_claims(value)]
        if keys:
            self._connect().unlink(*keys)

    def _store(self, deposits: list[tuple[Claim, np.ndarray[Any, Any]]], ttl_s: int) -> None:
        if not deposits:
            return
        pipeline = self._connect().pipeline(transaction=False)
        for claim, array in deposits:
            pipeline.set(self._key(claim), array.reshape(-1).view(np.uint8).data, ex=ttl_s)
        pipeline.execute()

    def _key(self, claim: Claim) -> str:
        # The message names a token, never a key: it cannot be made to read or delete anything else.
        return self._keys.claim(claim.token.hex())

    def _opened(self, claim: Claim, data: bytes | None) -> np.ndarray[Any, Any]:
        if data is None:
            raise ClaimExpired(claim.nbytes)
        return array_from(claim, data)


def find_claims(value: Any) -> Iterator[Claim]:
    """Every claim inside dicts and lists."""
    if isinstance(value, Claim):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from find_claims(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from find_claims(item)


def _replace(value: Any, arrays: dict[bytes, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, Claim):
        return arrays[value.token]
    if isinstance(value, dict):
        return {key: _replace(item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace(item, arrays) for item in value]
    return value
