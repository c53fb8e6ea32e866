"""Finds messages that a killed worker took off their queue and never noted as held, and sends them again."""

from __future__ import annotations

import json
from typing import Any, cast

import redis
from celery.utils.log import get_logger

from tasks.keys import RedisKeys
from tasks.sending.ledger import RECORDED, queue_of

log = get_logger(__name__)

# Items of a queue that are read at a time, and records that are looked at in one sweep.
CHUNK, MOST = 200, 2000
# A suspicion that no sweep has confirmed for so many ages is forgotten.
SUSPICION_AGES = 4
# A record that was seen so much later than now was not noted by Redis's clock.
AHEAD_S = 5
# What a strange hand may have left where a record, or a message's fields, should be.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Sweep:
    """Looks at records that nobody has seen for `age_s`, by Redis's clock.

    A message is sent again when two sweeps in a row find it neither in its queue nor with a worker: at the
    first it may just have been on its way from the one to the other.
    """

    def __init__(self, client: redis.Redis, prefix: str, age_s: float) -> None:
        self._client, self._keys, self._age_s = client, RedisKeys(prefix), age_s

    def run(self, channel: Any) -> list[bytes]:
        """The tags that were sent again; none while another worker sweeps. `channel` names kombu's keys."""
        if not self._client.set(self._keys.ledger_lock, 1, nx=True, ex=max(int(self._age_s / 2), 1)):
            return []
        self._adopt_unscored()
        tags = self._unseen()
        missing = self._missing(tags, channel)
        self._mark_seen(tags - missing)
        lost = missing & self._suspected(missing)
        return [tag for tag in sorted(lost) if self._send_again(tag, channel)]

    def _now(self) -> float:
        found: Any = self._client.time()
        return float(found[0]) + float(found[1]) / 1e6

    def _adopt_unscored(self) -> None:
        """Records that no score will ever let us look at are seen now: without any, or from the future."""
        now = self._now()
        ahead: Any = self._client.zrange(
            self._keys.ledger_seen, f"({now + AHEAD_S}", "+inf", byscore=True, offset=0, num=MOST
        )
        if ahead:
            self._client.zadd(self._keys.ledger_seen, dict.fromkeys(ahead, now), xx=True)
        if self._client.hlen(self._keys.ledger) <= self._client.zcard(self._keys.ledger_seen):
            return
        tags = [tag for tag, _ in self._client.hscan_iter(self._keys.ledger, count=CHUNK)]
        self._client.zadd(self._keys.ledger_seen, dict.fromkeys(tags, now), nx=True)

    def _suspected(self, missing: set[bytes]) -> set[bytes]:
        """Whom the sweep before suspected, whichever worker made it; from now on `missing` are."""
        pipe = self._client.pipeline()
        pipe.smembers(self._keys.ledger_suspects)
        pipe.delete(self._keys.ledger_suspects)
        if missing:
            pipe.sadd(self._keys.ledger_suspects, *missing)
            pipe.expire(self._keys.ledger_suspects, int(self._age_s * SUSPICION_AGES) + 1)
        return set(pipe.execute()[0])

    def _unseen(self) -> set[bytes]:
        before = self._now() - self._age_s
        found: Any = self._client.zrange(
            self._keys.ledger_seen, "-inf", before, byscore=True, offset=0, num=MOST
        )
        return set(found)

    def _missing(self, tags: set[bytes], channel: Any) -> set[bytes]:
        """Those of `tags` that are neither held by a worker nor in a queue."""
        left = set(tags)
        for queue in sorted({queue for queue in map(self._queue_of, tags) if queue}):
            for step in channel.priority_steps:
                if left:
                    left -= self._tags_in(channel._q_for_pri(queue, step))
        if not left:
            return left
        ordered = sorted(left)
        held: Any = self._client.hmget(channel.unacked_key, ordered)
        return {tag for tag, entry in zip(ordered, held, strict=True) if entry is None}

    def _queue_of(self, tag: bytes) -> str | None:
        """The queue of a record; None for one that is gone, or is no message: that is struck off."""
        entry = self._entry(tag)
        try:
            queue = None if entry is None else queue_of(json.loads(entry))
            if queue is None or queue in RECORDED:
                return queue
        except BROKEN as error:
            log.warning("junk removed from the ledger: tag=%.80r error=%.200r", tag, error)
        self._strike(tag)
        return None

    def _entry(self, tag: bytes) -> bytes | None:
        return cast("bytes | None", self._client.hget(self._keys.ledger, tag))

    def _strike(self, tag: bytes) -> None:
        pipe = self._client.pipeline(transaction=False)
        pipe.hdel(self._keys.ledger, tag)
        pipe.zrem(self._keys.ledger_seen, tag)
        pipe.execute()

    def _tags_in(self, key: str) -> set[bytes]:
        """The delivery tags in one list. New items only push what is read towards the end: none is missed."""
        found: set[bytes] = set()
        start = 0
        items: Any
        while items := self._client.lrange(key, start, start + CHUNK - 1):
            found |= {tag for tag in map(_tag_of, items) if tag}
            start += CHUNK
        return found

    def _mark_seen(self, tags: set[bytes]) -> None:
        if tags:
            # XX: what was acknowledged meanwhile stays struck off.
            self._client.zadd(self._keys.ledger_seen, dict.fromkeys(tags, self._now()), xx=True)

    def _send_again(self, tag: bytes, channel: Any) -> bool:
        """Push the message once more, marked as redelivered; whether it was still on the ledger."""
        entry = self._entry(tag)
        if entry is None:
            self._strike(tag)
            return False
        try:
            message = json.loads(entry)
            message["headers"]["redelivered"] = True
            message["properties"]["delivery_info"]["redelivered"] = True
            priority = channel._get_message_priority(message, reverse=False)
        except BROKEN as error:
            log.warning("junk removed from the ledger: tag=%.80r error=%.200r", tag, error)
            self._strike(tag)
            return False
        pipe = self._client.pipeline()
        pipe.rpush(channel._q_for_pri(queue_of(message), priority), json.dumps(message))
        pipe.zadd(self._keys.ledger_seen, {tag: self._now()}, xx=True)
        pipe.execute()
        log.warning("lost message sent again: task=%s", message["headers"].get("id"))
        return True


def _tag_of(item: bytes | str) -> bytes | None:
    try:
        return str(json.loads(item)["properties"]["delivery_tag"]).encode()
    except BROKEN:
        return None
