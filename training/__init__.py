"""Trains the built-in models. Needs the `train` extra; the product never imports this folder."""
