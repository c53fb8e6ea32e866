"""What weights and caches of few bits cost a language model, measured through the page."""
