"""Arrays in messages and results: the serializer, the claim check, the result backend, summaries for logs."""
