"""Finds the moment since when a model is slower, faster, or takes more memory."""

from browser_runtime.contract.setup.extras import require

require("scheduler")
