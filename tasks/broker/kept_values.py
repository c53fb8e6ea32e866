"""Values that we keep in Redis, read so that a strange hand in a key harms nobody.

What is no value of ours is named in the log and removed: it would be met again at every turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import redis

# Of the standard library: some of this runs in producers, whose output is their own.
log = logging.getLogger(__name__)

T = TypeVar("T")
Parse = Callable[[bytes], T]
"""Takes the bytes and raises one of BROKEN for what is no value."""

# What parsing raises over text, bytes and JSON that were not ours.
BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
# The key goes only if it is still of another type.
REMOVE_IF_NOT = """
if redis.call('TYPE', KEYS[1]).ok ~= ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def read_value(client: redis.Redis, key: str, parse: Parse[T]) -> T | None:
    """The value of a string; None where there is none, or none of ours. Raises redis.RedisError."""
    try:
        wire: Any = client.get(key)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
        remove_if_not(client, key, "string")
        return None
    if wire is None:
        return None
    try:
        return parse(wire)
    except BROKEN as error:
        _log(key, "", wire, error)
        client.delete(key)
        return None


def read_fields(client: redis.Redis, key: str, parse: Parse[T]) -> dict[str, T]:
    """The values of a hash by field, but for those that are none. Raises redis.RedisError."""
    try:
        wires: Any = client.hgetall(key)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
        remove_if_not(client, key, "hash")
        return {}
    found: dict[str, T] = {}
    for field, wire in wires.items():
        try:
            found[field.decode()] = parse(wire)
        except BROKEN as error:
            _log(key, field, wire, error)
            client.hdel(key, field)
    return found


def remove_if_not(client: redis.Redis, key: str, kind: str) -> bool:
    """Remove a key of ours that is of another type than `kind`; True if it was. Raises redis.RedisError."""
    removed = bool(client.eval(REMOVE_IF_NOT, 1, key, kind))
    if removed:
        log.error("junk removed from Redis: key=%s was no %s", key, kind)
    return removed


def remove_wrong_types(client: redis.Redis, kinds: Mapping[str, str]) -> list[str]:
    """Remove those of our keys that are of another type than `kinds` says. Raises redis.RedisError."""
    pipeline = client.pipeline(transaction=False)
    for key in kinds:
        pipeline.type(key)
    found = zip(kinds.items(), pipeline.execute(), strict=True)
    wrong = [(key, kind) for (key, kind), is_now in found if is_now.decode() not in (kind, "none")]
    return [key for key, kind in wrong if remove_if_not(client, key, kind)]


def is_wrong_type(error: redis.ResponseError) -> bool:
    """True if a command met a key of another type."""
    return "WRONGTYPE" in str(error)


def _log(key: str, field: bytes | str, wire: bytes, error: Exception) -> None:
    log.error("junk removed from Redis: key=%s field=%.80r value=%.80r error=%.200r", key, field, wire, error)
