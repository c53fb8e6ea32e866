"""Find browsers and drivers on this machine; start and stop them, leaving nothing behind."""

from browser_runtime.contract.setup.extras import require

require("worker")
