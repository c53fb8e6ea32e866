"""The headers of a message: when it was sent, whether it may be moved, and what its sender can read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

SENT_AT = "sent_at"
"""In Unix seconds: so waiting in Redis is measured too."""
FIXED = "fixed"
"""True: its sender named queue or browser. A message that is not fixed may be moved to another queue."""
READS = "reads"
"""Format that its sender can read: TENSOR, or JSON, also if it is not given."""
TENSOR, JSON = "tensor", "json"


def stamp(options: dict[str, Any], *, fixed: bool = True) -> None:
    """Note in the headers of a message about to be sent that it is sent now."""
    options["headers"] = (options.get("headers") or {}) | {SENT_AT: time.time(), FIXED: fixed}


def reads_tensors(request: Any) -> bool:
    """True if the sender of a Celery request can read arrays in its result."""
    return getattr(request, READS, None) == TENSOR


def waited_ms(headers: Any, eta: Any, now: float) -> float:
    """Milliseconds from the sending, or from the time it was wanted at, until `now`; 0 if unknown.

    Two machines' clocks may differ: what would be negative is 0.
    """
    sent_at = headers.get(SENT_AT) if isinstance(headers, dict) else None
    if not isinstance(sent_at, int | float):
        return 0.0
    return max(now - max(float(sent_at), to_unix(eta)), 0.0) * 1000


def seconds_to_wait(headers: Mapping[str, Any], now: float) -> float:
    """Seconds from `now` that a message may wait by its own options: its countdown, its expiry."""
    latest = max(to_unix(headers.get(name)) for name in ("eta", "expires"))
    return max(latest - now, 0.0)


def to_unix(when: Any) -> float:
    """Unix seconds of a time in ISO 8601; 0 for what is none."""
    try:
        return datetime.fromisoformat(when).timestamp()
    except (TypeError, ValueError):
        return 0.0
