"""The history: everything measured, in one DuckDB file. See README.md."""

from browser_runtime.contract.setup.extras import require

require("scheduler")
