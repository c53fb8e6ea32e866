"""The installed version of webinfer."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version


@lru_cache(maxsize=1)
def installed_version() -> str:
    """As its package says; empty in a checkout that was never installed."""
    try:
        return version("webinfer")
    except PackageNotFoundError:
        return ""
