"""Compares our text generation with its peers: same machine, browser, weights and prompts, in turn."""
