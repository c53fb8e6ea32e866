"""Each kind of change that a test could leave in this process is named."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from unittest.mock import patch

import pytest
from celery import Celery, _state

from browser_runtime.contract import options
from browser_runtime.contract.families import FAMILIES
from tasks import app
from tasks.settings import TaskSettings
from tests.surroundings import changes, observe

CHANGED: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "environment variable WEBINFER_NEW": lambda undone: undone.setenv("WEBINFER_NEW", "1"),
    "environment variable PATH": lambda undone: undone.delenv("PATH"),
    "process folder": lambda undone: undone.chdir("/"),
    "process sys.path": lambda undone: undone.syspath_prepend("/nowhere"),
    "process hooks": lambda undone: undone.setattr(sys, "excepthook", print),
    "module celery": lambda undone: undone.delitem(sys.modules, "celery"),
    "logger root": lambda undone: undone.setattr(logging.root, "level", logging.DEBUG),
    "global of browser_runtime.contract.options COMMON_OPTIONS": lambda undone: undone.setitem(
        options.COMMON_OPTIONS, "new", next(iter(options.COMMON_OPTIONS.values()))
    ),
    "process current app": lambda undone: undone.setattr(
        _state._tls, "current_app", Celery("mine", set_as_current=False)
    ),
    "settings of app": lambda undone: undone.setitem(
        app.__dict__, "settings", TaskSettings(broker_url="redis://elsewhere")
    ),
    "configuration of the app task_always_eager": lambda undone: undone.setitem(
        app.conf, "task_always_eager", True
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_left_changed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = app.conf.broker_url  # used before: what changes is no first use
    before = observe()
    assert changes(before, observe()) == []
    with monkeypatch.context() as undone:
        CHANGED[name](undone)
        (line,) = changes(before, observe())
        assert line.startswith(f"{name}: ")
    assert changes(before, observe()) == []


def test_an_order_left_changed_is_named() -> None:
    before = observe()
    with patch.dict(FAMILIES):
        first = next(iter(FAMILIES))
        FAMILIES[first] = FAMILIES.pop(first)
        assert any(
            "global of browser_runtime.contract.families FAMILIES" in line
            for line in changes(before, observe())
        )
    assert changes(before, observe()) == []


def test_a_signal_handler_left_behind_is_named() -> None:
    before = observe()
    kept = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        (line,) = changes(before, observe())
        assert line.startswith("handler of SIGUSR1: ")
    finally:
        signal.signal(signal.SIGUSR1, kept)


def test_what_is_used_for_the_first_time_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(app.__dict__, "settings", raising=False)
    before = observe()
    monkeypatch.setitem(app.__dict__, "settings", TaskSettings())
    monkeypatch.setitem(sys.modules, "tasks.of_a_test", sys)
    logging.getLogger("tasks.of_a_test").setLevel(logging.DEBUG)
    try:
        assert changes(before, observe()) == []
    finally:
        del logging.root.manager.loggerDict["tasks.of_a_test"]
