"""Celery worker processes that own browsers. `tasks.app` names what is used here, as text."""
