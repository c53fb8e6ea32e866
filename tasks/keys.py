"""Names of everything that the product, Celery and kombu keep in Redis.

No other module builds one (tests/unit/test_keys.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from celery.backends.base import KeyValueStoreBackend
from kombu.transport.redis import Channel

RESULTS = f"{KeyValueStoreBackend.task_keyprefix}*"
"""Pattern of Celery's results by task id."""
UNACKED = "webinfer:unacked"
"""Hash of what is delivered and not acknowledged: tag -> JSON [message, exchange, queue].

Not kombu's usual one: in that, workers of other programs hold messages that nobody may take from them.
"""
UNACKED_INDEX = "webinfer:unacked:at"
"""Sorted set: delivery tags of the same by when their lease was last renewed, in Unix seconds."""
NOTHING = "webinfer:nothing"
"""Never exists: deleting it is the write that Redis allows whatever its memory."""


def queue_lists(queue: str) -> list[str]:
    """kombu's Redis lists of one queue, one for each priority step, the most urgent first."""
    steps = Channel.priority_steps
    return [queue if step == 0 else f"{queue}{Channel.sep}{step}" for step in steps]


def queue_kinds(queues: Iterable[str]) -> dict[str, str]:
    """Redis's type of each of kombu's keys of our queues, and of what is held of them."""
    kinds = {UNACKED: "hash", UNACKED_INDEX: "zset"}
    for queue in queues:
        kinds |= dict.fromkeys(queue_lists(queue), "list")
        kinds |= {Channel.keyprefix_queue % queue: "set", f"_kombu.binding_permanent.{queue}": "set"}
    return kinds


@dataclass(frozen=True, slots=True)
class RedisKeys:
    """Keys of the product's own; all begin with `prefix`, the setting `WEBINFER_REDIS_PREFIX`."""

    prefix: str

    def kinds(self, queues: Collection[str]) -> dict[str, str]:
        """Redis's type of each key that has one name, and of those of `queues`, ours to tidy."""
        ours = {
            self.dead_letters: "stream",
            self.ledger: "hash",
            self.ledger_seen: "zset",
            self.ledger_suspects: "set",
            self.ledger_lock: "string",
            self.routing: "string",
            self.clocks: "hash",
            self.telemetry: "stream",
            self.regression: "hash",
            self.desired_workers: "hash",
            self.scaling_events: "list",
            self.pending_canaries: "hash",
            self.open_alerts: "hash",
            self.notifications: "hash",
            self.beat_sent: "hash",
            self.last_beat: "string",
        }
        for queue in queues:
            ours |= dict.fromkeys((self.serving(queue), self.expected(queue), self.canary(queue)), "string")
        return ours | queue_kinds(queues)

    # --- messages

    def claim(self, token: str) -> str:
        """Bytes of one array that is too large for a message."""
        return f"{self.prefix}claim:{token}"

    def deliveries(self, task_id: str) -> str:
        """Number of times that a redelivered message was started."""
        return f"{self.prefix}deliveries:{task_id}"

    def pieces(self, task_id: str) -> str:
        """Stream of the pieces of a reply that is being generated."""
        return f"{self.prefix}pieces:{task_id}"

    @property
    def dead_letters(self) -> str:
        """Stream of messages that could not be tasks."""
        return f"{self.prefix}dead-letters"

    @property
    def ledger(self) -> str:
        """Hash: delivery tag -> message as it was pushed, of what was sent and not taken."""
        return f"{self.prefix}ledger"

    @property
    def ledger_seen(self) -> str:
        """Sorted set: delivery tags of the ledger by when they were last seen, in Unix seconds."""
        return f"{self.prefix}ledger:at"

    @property
    def ledger_suspects(self) -> str:
        """Set: delivery tags that the last sweep of the ledger could not find."""
        return f"{self.prefix}ledger:suspects"

    @property
    def ledger_lock(self) -> str:
        """Held by the worker that sweeps the ledger."""
        return f"{self.prefix}ledger:sweeping"

    # --- routing

    @property
    def routing(self) -> str:
        """The published routing table, as JSON."""
        return f"{self.prefix}routing"

    def serving(self, queue: str) -> str:
        """There while a worker serves the queue."""
        return f"{self.prefix}serving:{queue}"

    def expected(self, queue: str) -> str:
        """There while a worker of the queue is starting, or was there minutes ago."""
        return f"{self.prefix}expected:{queue}"

    @property
    def clocks(self) -> str:
        """Hash: worker -> JSON of how far its clock is ahead of Redis's."""
        return f"{self.prefix}clocks"

    # --- measurements and decisions

    @property
    def telemetry(self) -> str:
        """Stream of rows on their way to the history."""
        return f"{self.prefix}telemetry"

    @property
    def regression(self) -> str:
        """Hash: spacing in seconds -> JSON of how each series stands."""
        return f"{self.prefix}regression"

    @property
    def desired_workers(self) -> str:
        """Hash: queue -> JSON of the latest decision of autoscaling."""
        return f"{self.prefix}scaling:desired"

    @property
    def scaling_events(self) -> str:
        """List of autoscaling's latest changes, newest first."""
        return f"{self.prefix}scaling:events"

    @property
    def scaling_changed(self) -> str:
        """Channel that announces a change of `desired_workers`."""
        return f"{self.prefix}scaling:changed"

    def canary(self, queue: str) -> str:
        """The latest verdict on a queue, as JSON."""
        return f"{self.prefix}canary:{queue}"

    @property
    def pending_canaries(self) -> str:
        """Hash: queue -> JSON of the canary that is under way."""
        return f"{self.prefix}canaries-pending"

    @property
    def open_alerts(self) -> str:
        """Hash: alert's key -> JSON of the alert."""
        return f"{self.prefix}alerts:open"

    @property
    def notifications(self) -> str:
        """Hash: id -> JSON of a notification that is not delivered yet."""
        return f"{self.prefix}alerts:outbox"

    def bad_since(self, name: str) -> str:
        """Time at which a condition that alerts watch began, in Unix seconds."""
        return f"{self.prefix}alerts:since:{name}"

    # --- periodic tasks

    def beat_period(self, entry: str, number: int) -> str:
        """Taken by the beat that sends the entry in that period."""
        return f"{self.prefix}beat:{entry}:{number}"

    @property
    def beat_sent(self) -> str:
        """Hash: entry -> when it was last sent, in Unix seconds."""
        return f"{self.prefix}beat:sent"

    @property
    def last_beat(self) -> str:
        """Time of the latest sign of life of a beat, in Unix seconds."""
        return f"{self.prefix}beat:last"

    def lock(self, name: str) -> str:
        """Held by who does the task `name` now."""
        return f"{self.prefix}lock:{name}"
