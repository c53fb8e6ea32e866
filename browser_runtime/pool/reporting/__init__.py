"""Live state, metrics and counts of a pool."""
