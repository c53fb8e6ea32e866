"""Models from the Hugging Face Hub: the catalogue of short names, and pulling."""
