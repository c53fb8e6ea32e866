"""Health checks: canaries for queues, beat's signs of life, clean-up of leftovers."""
