"""Reports of the history: facts, and the same facts as HTML, Markdown and JSON."""

from browser_runtime.contract.setup.extras import require

require("scheduler")
