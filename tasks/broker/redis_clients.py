"""Redis clients for the URLs Celery takes."""

from __future__ import annotations

import redis
from kombu.exceptions import OperationalError
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from tasks.broker.redis_urls import redis_py_url

# A Redis that restarts is back within a second or two: three tries, then the error is raised.
RETRIES = 3
TIMEOUT_S = 10.0
REDIS_AWAY = (OperationalError, redis.ConnectionError, redis.TimeoutError)
# The errors that a reconnection can mend; what else a message raises is its own fault. (Celery's own list of
# connection errors holds KeyError too.)
OUTAGES = (OSError, *REDIS_AWAY)


def connect(url: str, kind: type[redis.Redis] = redis.Redis) -> redis.Redis:
    """A client (connecting on first use) for redis://, rediss:// or redis+socket:///path[?virtual_host=db]."""
    return kind.from_url(
        redis_py_url(url),
        socket_timeout=TIMEOUT_S,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


def connect_once(url: str, timeout_s: float, kind: type[redis.Redis] = redis.Redis) -> redis.Redis:
    """A client that gives up at once: for what can do without Redis, or tries again by itself."""
    return kind.from_url(
        redis_py_url(url),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
