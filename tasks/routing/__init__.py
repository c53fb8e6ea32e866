"""The queue of a request: as its caller named it, as was measured, among those that are served."""
