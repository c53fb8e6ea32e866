"""Pieces of a generated reply on their way from a worker to the producer that waits for them."""
