"""Looks at the queues in Redis and asks the workers. The only I/O the decision rests on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis

from scheduler.autoscaling.sightings import Sighting, WorkerSighting, read_worker
from tasks.app import WebinferApp
from tasks.links import connect

# Answers come within milliseconds; a worker that is silent for so long is not counted at this look.
ANSWER_TIMEOUT_S = 1.0
# kombu's own name for what is delivered and not acknowledged: delivery tag -> [message, exchange, queue].
UNACKED = "unacked"
# The queue's name ends each entry, so that a message of megabytes is neither parsed nor sent.
COUNT_UNACKED = """
local found = {}
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  local queue = string.match(string.sub(entry, -300), '"([^"]*)"%s*%]$')
  if queue then found[queue] = (found[queue] or 0) + 1 end
end
local flat = {}
for queue, n in pairs(found) do flat[#flat + 1] = queue; flat[#flat + 1] = n end
return flat
"""


class Signals:
    """Looks, whenever asked."""

    def __init__(self, app: WebinferApp) -> None:
        self._app = app
        self._broker: redis.Redis = connect(app.settings.broker_url)
        self._count_unacked = self._broker.register_script(COUNT_UNACKED)

    def look(self, queues: Iterable[str]) -> Sighting:
        """What there is now. Raises redis.RedisError where Redis is away."""
        return Sighting(self.ask_workers(), self.depths(queues), self.in_flight())

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Messages waiting by queue, of every priority."""
        names, pipeline = list(queues), self._broker.pipeline(transaction=False)
        with self._app.connection_for_read() as connection:
            keys = {name: _priority_keys(connection.default_channel, name) for name in names}
        for name in names:
            for key in keys[name]:
                pipeline.llen(key)
        lengths = iter(pipeline.execute())
        return {name: sum(int(next(lengths)) for _ in keys[name]) for name in names}

    def in_flight(self) -> dict[str, int]:
        """Messages taken and not acknowledged by queue, those of dead workers included."""
        flat: list[Any] = self._count_unacked(keys=[UNACKED])
        names, counts = flat[::2], flat[1::2]
        return {name.decode(): int(n) for name, n in zip(names, counts, strict=True)}

    def ask_workers(self) -> dict[str, WorkerSighting]:
        """Every browser worker that answers in time, by name."""
        replies = self._app.control.broadcast("browser_status", reply=True, timeout=ANSWER_TIMEOUT_S) or []
        told = ((name, status) for reply in replies for name, status in reply.items())
        return {name: found for name, status in told if (found := read_worker(name, status))}

    def close(self) -> None:
        """Close the connection."""
        self._broker.close()


def _priority_keys(channel: Any, queue: str) -> list[str]:
    """The Redis lists of one queue, one a priority step."""
    return [channel._q_for_pri(queue, step) for step in channel.priority_steps]
