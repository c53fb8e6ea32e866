"""The history that this process, the analytics worker, owns."""

from __future__ import annotations

from scheduler.history.history import History
from scheduler.settings import SchedulerSettings

_open: list[History] = []


def history() -> History:
    """The history of the settings, opened on first use. Raises HistoryUnavailable."""
    if _open and _open[0].broken:
        close_history()
    if not _open:
        settings = SchedulerSettings()
        _open.append(History(settings.history_path, max_memory_mb=settings.history_memory_mb))
    return _open[0]


def close_history() -> None:
    """Close the file; the next use opens it again."""
    while _open:
        _open.pop().close()
