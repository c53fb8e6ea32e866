"""Run one inference request in a real browser page. Makes sense without Celery."""
