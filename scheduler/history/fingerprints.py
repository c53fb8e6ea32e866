"""A fingerprint of everything that a run's time depends on, beside the request itself. Pure.

Rows with the same fingerprint may be compared. Its parts stay columns of their own, so that a change of the
browser can be told from a change of our code.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

PARTS = ("browser_build", "driver", "adapter", "os", "webinfer_version", "revision", "precision")
LENGTH = 12


@lru_cache(maxsize=4096)
def fingerprint(*parts: str | None) -> str:
    """Twelve hexadecimal digits for the values of PARTS, in that order."""
    text = "\x1f".join(part or "" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
