"""LLaMA-type language models with weights and caches of 2 to 8 bits: read, quantised, run in NumPy."""
