"""How our app sends: messages, their headers, the ledger, and what Celery sends once a task has ended."""
