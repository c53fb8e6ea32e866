"""Sending: messages, their headers, the ledger, and follow-ups that Celery sends once a task has ended."""
