"""What the history tells a person: facts, and the same facts as HTML, Markdown and JSON."""

from browser_runtime.contract.setup.extras import require

require("scheduler")
