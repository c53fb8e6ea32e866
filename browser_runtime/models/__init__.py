"""The model store: catalogue, Hugging Face Hub, import, verification, and the built-in models."""
