"""Questions from processes that do not own the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from celery.exceptions import TimeoutError as ResultTimeout
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup import remedies
from scheduler.history.history import History, HistoryUnavailable
from scheduler.settings import SchedulerSettings
from tasks.app import ANALYTICS_QUEUE, app

TIMEOUT_S = 30.0

Found = TypeVar("Found")
Rows = list[dict[str, Any]]


def ask(name: str, timeout_s: float = TIMEOUT_S, **params: Any) -> Rows:
    """The rows of `queries/<name>.sql`, answered by the analytics worker.

    Raises ValueError for an unknown query, SetupError where no analytics worker answers in time.
    """
    try:
        result = app.send_task(
            "scheduler.history.query", (name, params), queue=ANALYTICS_QUEUE, expires=timeout_s
        )
    except OperationalError as error:
        raise no_analytics() from error
    try:
        rows: Rows = result.get(timeout=timeout_s, disable_sync_subtasks=False)
    except ResultTimeout as error:
        raise no_analytics() from error
    finally:
        result.forget()
    return rows


def no_analytics() -> SetupError:
    """The sentence for a history that nobody answers for."""
    how = f"start `{remedies.STACK}`, or: {remedies.ANALYTICS}"
    return SetupError("an analytics worker that answers", how)


def read_or_ask(
    settings: SchedulerSettings, read: Callable[[History], Found], ask_owner: Callable[[], Found]
) -> Found:
    """What `read` finds in the file itself where nobody holds it, else what its owner answers. For commands.

    Raises HistoryUnavailable, saying why of both, where neither is to be had.
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


def look_up(name: str, settings: SchedulerSettings | None = None, **params: Any) -> Rows:
    """The rows of a named query, like `read_or_ask`."""
    return read_or_ask(
        settings or SchedulerSettings(),
        lambda history: history.query(name, **params),
        lambda: ask(name, **params),
    )


class LookUp:
    """`look_up` in the shape of a history."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings

    def query(self, name: str, **params: Any) -> Rows:
        """The rows of a named query."""
        return look_up(name, self._settings, **params)
