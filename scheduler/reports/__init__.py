"""What the history tells a person: facts, and the same facts as HTML, Markdown and JSON."""

from browser_runtime.contract.extras import require

require("scheduler")
