"""Finds the moment since when a model is slower, faster, or takes more memory."""
