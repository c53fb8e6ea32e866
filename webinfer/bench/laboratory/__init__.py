"""The laboratory: compare, gate, matrix and load, on one set of measurements and statistics."""
