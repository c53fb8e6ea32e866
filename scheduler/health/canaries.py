"""Canaries: for each queue, a small real job whose answer is known. A ping says only that a process listens.

`<prefix>canary:<queue>` holds JSON: ok, state, reason, at, latency_ms, id. Nothing waits for an answer: the
worker that answers has the judgement run as a callback, and the next round notices what was not answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import redis

from tasks.keys import RedisKeys

# A queue is expected to be served this long after it was served last.
MEMORY_S = 3600

MODEL = "digits-vit"
# Built-in pictures of one digit each, named after it; one after the other, so that no cached answer passes.
DIGITS = ("7", "0", "4", "2", "9")


@dataclass(frozen=True, slots=True)
class Canary:
    """What is known of a queue."""

    ok: bool
    state: str
    """answered, wrong, failed, silent, unserved."""
    reason: str
    at: float
    """When it was judged, in Unix seconds."""
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A canary that is not answered yet."""

    id: str
    at: float
    """When it was sent, in Unix seconds."""


def judge_answer(reply: Any, expected: str, sent_at: float, now: float) -> Canary:
    """The verdict on an answer."""
    latency_ms = 1000 * (now - sent_at)
    try:
        best = reply["output"]["labels"][0]["label"]
        place = f"{reply['browser_build']}, {reply['backend']}"
    except (KeyError, IndexError, TypeError):
        return Canary(False, "wrong", "the answer of the canary holds no label", now, latency_ms)
    if best != expected:
        return Canary(False, "wrong", f"{MODEL} read {best!r} on a {expected} ({place})", now, latency_ms)
    return Canary(True, "answered", f"{MODEL} read a {expected} ({place})", now, latency_ms)


def judge_silence(pending: Pending | None, n_waiting: int, now: float, deadline_s: float) -> Canary | None:
    """The verdict on a canary that should have been answered by now; None while it may still be."""
    if pending is None or now - pending.at <= deadline_s:
        return None
    reason = f"no answer to the canary within {deadline_s:.0f} s; {n_waiting} messages wait"
    return Canary(False, "silent", reason, now)


def judge_unserved(was_served: bool, n_waiting: int, now: float) -> Canary | None:
    """The verdict on a queue without a worker; None where nobody misses one."""
    if n_waiting:
        return Canary(False, "unserved", f"no worker serves it, and {n_waiting} messages wait", now)
    return Canary(False, "unserved", "no worker serves it any more", now) if was_served else None


def read_digit(digit: str) -> bytes:
    """The built-in picture of a digit."""
    return (files("browser_runtime") / "models/builtin" / MODEL / "examples" / f"{digit}.png").read_bytes()


class CanaryBook:
    """Verdicts and pending canaries in Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client, self._keys = client, RedisKeys(prefix)

    def read(self, queue: str) -> Canary | None:
        """The latest verdict on a queue."""
        wire: Any = self._client.get(self._keys.canary(queue))
        if wire is None:
            return None
        values = json.loads(wire)
        return Canary(**{name: values.get(name) for name in Canary.__dataclass_fields__})

    def write(self, queue: str, canary: Canary, *, served: bool) -> None:
        """Keep a verdict. An unserved queue is forgotten an hour after it was served last."""
        name, wire = self._keys.canary(queue), json.dumps(asdict(canary))
        if served or not self._client.set(name, wire, xx=True, keepttl=True):
            self._client.set(name, wire, ex=MEMORY_S)

    def pending(self, queue: str) -> Pending | None:
        """The canary that is under way."""
        wire: Any = self._client.hget(self._keys.pending_canaries, queue)
        return None if wire is None else Pending(**json.loads(wire))

    def send(self, queue: str, pending: Pending) -> None:
        """A canary is under way."""
        self._client.hset(self._keys.pending_canaries, queue, json.dumps(asdict(pending)))

    def settle(self, queues: Iterable[str]) -> None:
        """No canary is under way there any more."""
        self._client.hdel(self._keys.pending_canaries, *queues)
