"""What was measured, kept in one DuckDB file: see README.md."""
