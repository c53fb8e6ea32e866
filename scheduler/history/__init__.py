"""What was measured, kept in one DuckDB file: see README.md."""

from browser_runtime.contract.setup.extras import require

require("scheduler")
