"""Canaries: a small request with a known answer for each queue. A ping would show only a listening process.

`<prefix>canary:<queue>` holds JSON: ok, state, reason, at, latency_ms. Nothing waits for an answer: a
callback judges it, and the next round finds canaries that were not answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import redis

from tasks.broker.kept_values import read_fields, read_value
from tasks.keys import RedisKeys

# A queue without a worker is reported for this long after it was last served.
MEMORY_S = 3600

MODEL = "digits-vit"
# Built-in images of one digit each, sent in turn, so that a cached answer is noticed.
DIGITS = ("7", "0", "4", "2", "9")


@dataclass(frozen=True, slots=True)
class Canary:
    """The state of a queue, from its latest canary."""

    ok: bool
    state: str
    """answered, wrong, failed, silent, unserved."""
    reason: str
    at: float
    """The time of the verdict, in Unix seconds."""
    latency_ms: float | None = None

    @classmethod
    def from_wire(cls, wire: str | bytes) -> Canary:
        """The verdict in `wire`. Raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(wire)
        latency_ms = found.get("latency_ms")
        return cls(
            bool(found["ok"]),
            str(found["state"]),
            str(found["reason"]),
            float(found["at"]),
            None if latency_ms is None else float(latency_ms),
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """A canary without an answer so far."""

    id: str
    at: float
    """The time it was sent, in Unix seconds."""


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
    """The verdict on an overdue canary; None if it is not overdue."""
    if pending is None or now - pending.at <= deadline_s:
        return None
    reason = f"no answer to the canary within {deadline_s:.0f} s; {n_waiting} messages wait"
    return Canary(False, "silent", reason, now)


def judge_unserved(was_served: bool, n_waiting: int, now: float) -> Canary | None:
    """The verdict on a queue without a worker; None if none is expected there."""
    if n_waiting:
        return Canary(False, "unserved", f"no worker serves it, and {n_waiting} messages wait", now)
    return Canary(False, "unserved", "no worker serves it any more", now) if was_served else None


def read_digit(digit: str) -> bytes:
    """The built-in image of a digit, as a PNG file's bytes."""
    return (files("browser_runtime") / "models/builtin" / MODEL / "examples" / f"{digit}.png").read_bytes()


class CanaryStore:
    """Verdicts and pending canaries in Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client, self._keys = client, RedisKeys(prefix)

    def read(self, queue: str) -> Canary | None:
        """The latest verdict on a queue."""
        return read_value(self._client, self._keys.canary(queue), Canary.from_wire)

    def write(self, queue: str, canary: Canary, *, served: bool) -> None:
        """Store a verdict. That of an unserved queue expires an hour after it was last served."""
        name, wire = self._keys.canary(queue), json.dumps(asdict(canary))
        if served or not self._client.set(name, wire, xx=True, keepttl=True):
            self._client.set(name, wire, ex=MEMORY_S)

    def pending(self, queue: str) -> Pending | None:
        """The canary without an answer so far, if any."""
        found = read_fields(
            self._client, self._keys.pending_canaries, lambda wire: Pending(**json.loads(wire))
        )
        return found.get(queue)

    def send(self, queue: str, pending: Pending) -> None:
        """Record a canary that is being sent."""
        self._client.hset(self._keys.pending_canaries, queue, json.dumps(asdict(pending)))

    def settle(self, queues: Iterable[str]) -> None:
        """Remove the pending canaries of these queues."""
        self._client.hdel(self._keys.pending_canaries, *queues)
