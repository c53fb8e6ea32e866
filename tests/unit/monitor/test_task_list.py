"""Flower's list of tasks without the scheduler's own, on Flower's own state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("flower", reason="the extra `monitor` is not installed")

from flower.events import EventsState
from flower.utils.search import SearchPage

from scheduler.monitor.task_list import MAX_OWN, TaskSearch


class State:
    """Flower's state, told of tasks."""

    def __init__(self) -> None:
        self.state: Any = EventsState(max_tasks_in_memory=10_000)
        self.search = self.state.search_engine = TaskSearch(self.state)
        self._clock = 0

    def send(self, task: str, name: str, root: str = "") -> None:
        """A worker's event of a task that it received."""
        self._clock += 1
        event = {"type": "task-received", "uuid": task, "name": name, "root_id": root or task}
        self.state.event(
            event | {"hostname": "w@h", "clock": self._clock, "timestamp": 1.0, "local_received": 1.0}
        )

    def list(self, hides: bool = True, query: str = "") -> tuple[set[str], int]:
        """The tasks that are listed, and how many are hidden."""
        with self.search.hiding_own(hides):
            page: SearchPage = self.search.search(self.state.tasks, query)
        return set(page.task_ids), self.search.n_hidden


@pytest.fixture
def flower() -> Iterator[State]:
    yield State()


def test_a_users_task_is_found_among_500_of_the_scheduler(flower: State) -> None:
    for number in range(250):
        flower.send(f"a{number}", "scheduler.history.drain")
    flower.send("mine", "infer")
    for number in range(250):
        flower.send(f"b{number}", "scheduler.autoscaling.decide")
    assert flower.list() == ({"mine"}, 500)
    assert len(flower.list(hides=False)[0]) == 501


def test_what_the_scheduler_sends_is_its_own_too(flower: State) -> None:
    flower.send("round", "scheduler.health.canary")
    flower.send("canary-1", "infer", root="round")
    flower.send("mine", "infer")
    flower.send("after", "infer", root="mine")
    assert flower.list() == ({"mine", "after"}, 2)


def test_hidden_are_counted_among_what_is_searched_for(flower: State) -> None:
    flower.send("a", "scheduler.history.drain")
    flower.send("b", "scheduler.history.query")
    flower.send("mine", "infer")
    assert flower.list(query="name:history.query") == (set(), 1)


def test_the_schedulers_tasks_never_push_a_users_out(flower: State) -> None:
    flower.send("mine", "infer")
    for number in range(MAX_OWN + 50):
        flower.send(f"a{number}", "scheduler.history.drain")
    shown, _ = flower.list(hides=False)
    assert len(shown) == MAX_OWN + 1 and {"mine", f"a{MAX_OWN + 49}"} <= shown
    assert "a0" not in flower.state.tasks and flower.search.n_own == MAX_OWN
