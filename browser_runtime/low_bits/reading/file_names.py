"""The names of the files that a model's weights are read from."""

INDEX = "model.safetensors.index.json"
"""Of weights in several files: which tensor is in which."""
SINGLE = "model.safetensors"
GGUF_ENDING = ".gguf"
