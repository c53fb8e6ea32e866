"""LLaMA-type models as others store them: safetensors and GGUF files, of which nothing is believed."""
