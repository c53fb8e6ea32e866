"""Texts to token ids and back, with Python's `tokenizers`: the same for every browser and the simulation."""
