"""Execution options of a wrong kind are refused where they are given; all that Celery takes are taken."""

from __future__ import annotations

import datetime as dt
import inspect
import re
from typing import Any

import pytest
from celery import Celery, Task
from celery.app.task import Context
from kombu import Queue

from browser_runtime.contract.errors import BadInput
from tasks import app, infer
from tasks.sending.execution_options import KNOWN, check_execution_options

NOW = dt.datetime.now(dt.UTC)
TEXT = {"model_type": "text", "model_name": "bert", "inputs": "hello"}
SIGNATURE = Celery("mine", set_as_current=False).signature("mine.store")

WRONG: list[tuple[str, Any, str]] = [
    ("soft_time_limit", "30", "soft_time_limit is '30', but must be a number of seconds above 0"),
    ("soft_time_limit", 0, "soft_time_limit is 0, but must be"),
    ("time_limit", dt.timedelta(seconds=3), "time_limit is a timedelta, but must be a number of seconds"),
    ("time_limit", True, "time_limit is True, but must be"),
    ("time_limit", float("nan"), "time_limit is nan"),
    ("countdown", "5", "countdown is '5', but must be a number of seconds"),
    ("countdown", dt.timedelta(seconds=3), "countdown is a timedelta"),
    ("eta", 30, "eta is 30, but must be a datetime, or a time in ISO 8601"),
    ("eta", "tomorrow", "eta is 'tomorrow'"),
    ("expires", "30", "expires is '30', but must be a number of seconds, a datetime"),
    ("expires", dt.timedelta(hours=1), "expires is a timedelta"),
    ("priority", "high", "priority is 'high', but must be a whole number from 0, the highest, to 9"),
    ("priority", 10, "priority is 10"),
    ("priority", 1.5, "priority is 1.5"),
    ("queue", 7, "queue is 7, but must be the name of a queue"),
    ("queue", ["chrome-vision"], "queue is a list of 1"),
    ("routing_key", 7, "routing_key is 7"),
    ("link", "store", "link is 'store', but must be a signature, like task.s(), or a list of them"),
    ("link", infer, "link is a Infer"),
    ("link_error", [SIGNATURE, print], "link_error is a list of 2"),
    ("task_id", 7, "task_id is 7"),
    ("task_id", "x" * 129, "task_id is 'xxx"),
    ("headers", "a", "headers is 'a', but must be a dict whose keys are texts"),
    ("ignore_result", "yes", "ignore_result is 'yes', but must be True or False"),
    ("serializer", b"json", "serializer is b'json'"),
    ("retry_policy", 3, "retry_policy is 3"),
    ("soft_time_limt", 30, "unknown execution option (did you mean 'soft_time_limit'?)"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG, ids=lambda value: str(value)[:20])
def test_wrong_options_are_refused_where_they_are_given(name: str, value: Any, sentence: str) -> None:
    signature = infer.s(**TEXT).set(**{name: value})
    for send in (
        lambda: infer.apply_async(kwargs=TEXT, **{name: value}),
        lambda: app.send_task("infer", kwargs=TEXT, **{name: value}),
        lambda: app.send_task("of.somebody.else", **{name: value}),
        signature.apply_async,
    ):
        with pytest.raises(BadInput, match=re.escape(sentence)):
            send()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("soft_time_limit", 30),
        ("time_limit", 0.5),
        ("countdown", 0),
        ("countdown", -3.5),
        ("eta", NOW),
        ("eta", NOW.isoformat()),
        ("expires", 60),
        ("expires", NOW),
        ("expires", NOW.isoformat()),
        ("priority", 9),
        ("queue", "chrome-vision"),
        ("queue", Queue("mine")),
        ("link", SIGNATURE),
        ("link", [SIGNATURE, dict(SIGNATURE)]),
        ("link_error", (SIGNATURE,)),
        ("stamped_headers", ["whose"]),
        ("ignore_result", True),
        ("soft_time_limit", None),
    ],
    ids=lambda value: "now" if str(value)[:10] == str(NOW)[:10] else str(value)[:20],
)
def test_what_celery_takes_is_taken(name: str, value: Any) -> None:
    options = {name: value, "whose": "mine"} if name == "stamped_headers" else {name: value}
    check_execution_options(options)
    if name in inspect.signature(app.amqp.as_task_v2).parameters or name == "stamped_headers":
        assert app.amqp.as_task_v2("id", "infer", **options).headers["task"] == "infer"


def test_arguments_are_lists_and_dicts() -> None:
    with pytest.raises(BadInput, match="args is 'vision', but must be a list or tuple"):
        infer.apply_async("vision")
    with pytest.raises(BadInput, match="kwargs is a list of 1, but must be a dict"):
        infer.apply_async((), [1])


def test_every_option_of_celery_is_known() -> None:
    """Those it documents, those a task has, and those a retry hands on."""
    named = set(inspect.signature(Celery.send_task).parameters) | set(
        inspect.signature(Task.apply_async).parameters
    )
    handed_on = set(Context().as_execution_options()) | set(infer._get_exec_options())
    assert (named | handed_on) - {"self", "name", "args", "kwargs", "options"} <= set(KNOWN)


def test_a_signature_refuses_them_at_once() -> None:
    with pytest.raises(BadInput, match="soft_time_limit is '30'"):
        infer.signature((), TEXT, soft_time_limit="30")
