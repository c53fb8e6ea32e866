"""A fingerprint of everything but the request that a run's time depends on. Pure.

Only rows with the same fingerprint are comparable. Its parts are columns of their own, so that a change of
the browser is distinguished from a change of the code.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

PARTS = ("browser_build", "driver", "adapter", "os", "webinfer_version", "revision", "precision")
LENGTH = 12


@lru_cache(maxsize=4096)
def fingerprint(*parts: str | None) -> str:
    """Twelve hexadecimal digits of the hash of the values of PARTS, in that order."""
    text = "\x1f".join(part or "" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
