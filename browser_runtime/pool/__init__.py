"""The resource pool: see README.md."""

from browser_runtime.contract.setup.extras import require

require("worker")

from browser_runtime.pool.pool import Pool  # noqa: E402 - what it needs is looked for first

__all__ = ["Pool"]
