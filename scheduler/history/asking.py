"""Queries of the history from processes that do not own its file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from celery.exceptions import TimeoutError as ResultTimeout
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import NotReady, SetupError
from browser_runtime.contract.setup import remedies
from scheduler.history.history import History, HistoryUnavailable, QueryRow
from scheduler.settings import SchedulerSettings
from tasks.app import ANALYTICS_QUEUE, app

TIMEOUT_S = 30.0

Found = TypeVar("Found")


def ask(name: str, timeout_s: float = TIMEOUT_S, **params: Any) -> list[QueryRow]:
    """The rows of `queries/<name>.sql`, answered by the analytics worker.

    Raises ValueError for an unknown query, NotReady if no analytics worker answers in time.
    """
    try:
        result = app.send_task(
            "scheduler.history.query", (name, params), queue=ANALYTICS_QUEUE, expires=timeout_s
        )
    except OperationalError as error:
        raise no_analytics() from error
    try:
        rows: list[QueryRow] = result.get(timeout=timeout_s, disable_sync_subtasks=False)
    except ResultTimeout as error:
        raise no_analytics() from error
    finally:
        result.forget()
    return rows


def no_analytics() -> NotReady:
    """The error for a history whose owner does not answer."""
    return NotReady("No analytics worker answers", f"start `{remedies.STACK}`, or: {remedies.ANALYTICS}")


def read_or_ask(
    settings: SchedulerSettings, read: Callable[[History], Found], ask_owner: Callable[[], Found]
) -> Found:
    """The result of `read` on the file itself, or of `ask_owner` if another process has it open.

    Raises HistoryUnavailable, with both reasons, if neither works.
    """
    try:
        with History(settings.history_path, max_memory_mb=settings.history_memory_mb) as history:
            return read(history)
    except HistoryUnavailable as error:
        path, why = error.args
        try:
            return ask_owner()
        except SetupError as nobody:
            raise HistoryUnavailable(path, f"{why}; {nobody}") from error


def look_up(name: str, settings: SchedulerSettings | None = None, **params: Any) -> list[QueryRow]:
    """The rows of a named query, from the file or its owner, as in `read_or_ask`."""
    return read_or_ask(
        settings or SchedulerSettings(),
        lambda history: history.query(name, **params),
        lambda: ask(name, **params),
    )


class LookUp:
    """`look_up` with the interface of a history."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings

    def query(self, name: str, **params: Any) -> list[QueryRow]:
        """The rows of a named query."""
        return look_up(name, self._settings, **params)
