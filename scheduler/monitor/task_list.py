"""Flower's list of tasks without the scheduler's own, of which there are hundreds a minute.

They are hidden, not lost: the page says how many, and shows them when asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import tornado.web
from flower.utils.search import TaskSearchEngine
from flower.views.tasks import TasksDataTable

# How the names of the scheduler's tasks begin (scheduler/timetable.py).
OWN_PREFIX = "scheduler."
# Flower keeps a number of tasks; more than these of the scheduler's would push the users' out.
MAX_OWN = 1000
# The argument of pages and rows that asks for the scheduler's tasks too.
SHOW = "scheduler"


class TaskSearch(TaskSearchEngine):  # type: ignore[misc]  # Flower has no types
    """Flower's search, which knows the scheduler's tasks and keeps the newest MAX_OWN of them.

    A task is the scheduler's by its name, or because one of the scheduler's sent it, as canaries are.
    """

    def __init__(self, state: Any) -> None:
        super().__init__()
        self._state = state
        self._own: dict[str, None] = {}
        self._hides_own = False
        self.n_hidden = 0
        """Tasks that the latest search left out."""
        self.rebuild(state.tasks.items())

    @property
    def n_own(self) -> int:
        """Tasks of the scheduler that are kept."""
        return len(self._own)

    def rebuild(self, tasks: Iterable[tuple[str, Any]]) -> None:
        """Index all of them anew."""
        self._own.clear()
        super().rebuild(list(tasks))

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        super().remove(task_id)
        self._own.pop(task_id, None)

    def _index(self, task_id: str, task: Any) -> None:
        super()._index(task_id, task)
        if str(task.name or "").startswith(OWN_PREFIX) or task.root_id in self._own:
            self._own[task_id] = None
        if len(self._own) > MAX_OWN:
            oldest = next(iter(self._own))
            self.remove(oldest)
            self._state.tasks.pop(oldest, None)

    @contextmanager
    def hiding_own(self, hides: bool) -> Iterator[None]:
        """Leave out the scheduler's tasks inside, where `hides` says so."""
        self._hides_own = hides
        try:
            yield
        finally:
            self._hides_own = False

    def matching_ids(self, query: str, candidates: set[str] | None = None) -> set[str]:
        """The tasks that match, as Flower finds them."""
        found: set[str] = super().matching_ids(query, candidates)
        if not self._hides_own:
            return found
        self.n_hidden = len(found & self._own.keys())
        return found - self._own.keys()


def shows_own(handler: tornado.web.RequestHandler) -> bool:
    """True where the scheduler's tasks are asked for: all of them, or those of one name."""
    is_asked = handler.get_argument(SHOW, "") == "1"
    return is_asked or handler.get_argument("name", "").startswith(OWN_PREFIX)


class TaskRows(TasksDataTable):  # type: ignore[misc]
    """Flower's rows of the list, and how many are hidden."""

    @tornado.web.authenticated
    def get(self) -> None:
        """The rows that are asked for."""
        with self.application.task_search.hiding_own(not shows_own(self)):
            super().get()

    def write(self, chunk: Any) -> None:
        """Send Flower's answer; where tasks are hidden, with their number, and a total of the others."""
        if isinstance(chunk, dict) and not shows_own(self):
            search = self.application.task_search
            chunk |= {"hidden": search.n_hidden, "recordsTotal": chunk["recordsTotal"] - search.n_own}
        super().write(chunk)
