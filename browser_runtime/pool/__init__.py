"""The resource pool: see README.md."""

from browser_runtime.pool.pool import Pool

__all__ = ["Pool"]
