"""When a request was sent: a header that its worker reads, so that waiting in Redis is measured too."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

SENT_AT = "sent_at"


def stamp(options: dict[str, Any]) -> None:
    """Note in the headers of a message about to be sent that it is sent now, in Unix seconds."""
    options["headers"] = (options.get("headers") or {}) | {SENT_AT: time.time()}


def waited_ms(headers: Any, eta: Any, now: float) -> float:
    """Milliseconds from the sending, or from the time it was wanted at, until `now`; 0 where it is not told.

    Two machines' clocks may differ: what would be negative is 0.
    """
    sent_at = headers.get(SENT_AT) if isinstance(headers, dict) else None
    if not isinstance(sent_at, int | float):
        return 0.0
    return max(now - max(float(sent_at), _seconds(eta)), 0.0) * 1000


def _seconds(eta: Any) -> float:
    try:
        return datetime.fromisoformat(eta).timestamp()
    except (TypeError, ValueError):
        return 0.0
