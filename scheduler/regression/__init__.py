"""Finds the moment since when a model is slower, faster, or takes more memory."""

from browser_runtime.contract.extras import require

require("scheduler")
