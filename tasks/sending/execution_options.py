"""Execution options of a task, checked where they are given: in `apply_async`, `send_task`, signatures.

Celery sends whatever it is given: a time limit that is a text fails in the worker, and a name that it does
not know becomes a property of the message that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kombu import Exchange, Queue

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.options import suggest
from browser_runtime.contract.vocabulary import shown
from tasks.sending.checks import (
    MAX_ID,
    are_signatures,
    are_texts,
    is_count,
    is_flag,
    is_id,
    is_map,
    is_number,
    is_seconds,
    is_signature,
    is_text,
    is_time,
)

# kombu's transport for Redis has these; it takes a higher number for 9.
PRIORITIES = range(10)

Check = tuple[Callable[[object], bool], str]


def _is_limit(value: object) -> bool:
    return is_seconds(value) and value != 0


def _is_priority(value: object) -> bool:
    return type(value) is int and value in PRIORITIES


def _is_expiry(value: object) -> bool:
    return is_number(value) or is_time(value)


def _is_link(value: object) -> bool:
    return is_signature(value) or are_signatures(value)


def _is_queue(value: object) -> bool:
    return isinstance(value, (str, Queue)) and bool(value if isinstance(value, str) else value.name)


_ID: Check = (is_id, f"a text of 1 to {MAX_ID} characters")
_TEXT: Check = (is_text, "a text")
_FLAG: Check = (is_flag, "True or False")
_MAP: Check = (is_map, "a dict whose keys are texts")
_COUNT: Check = (is_count, "a whole number from 0")
_LIMIT: Check = (_is_limit, "a number of seconds above 0")
_LINK: Check = (_is_link, "a signature, like task.s(), or a list of them")
CHECKS: Mapping[str, Check] = {
    "time_limit": _LIMIT,
    "soft_time_limit": _LIMIT,
    "countdown": (is_number, "a number of seconds"),
    "eta": (is_time, "a datetime, or a time in ISO 8601"),
    "expires": (_is_expiry, "a number of seconds, a datetime, or a time in ISO 8601"),
    "priority": (_is_priority, "a whole number from 0, the highest, to 9"),
    "queue": (_is_queue, "the name of a queue"),
    "exchange": (lambda value: isinstance(value, (str, Exchange)), "the name of an exchange"),
    "routing_key": _TEXT,
    "link": _LINK,
    "link_error": _LINK,
    "chain": (are_signatures, "a list of signatures"),
    "chord": (is_signature, "a signature, like task.s()"),
    "task_id": _ID,
    "root_id": _ID,
    "parent_id": _ID,
    "group_id": _ID,
    "group_index": _COUNT,
    "retries": _COUNT,
    "replaced_task_nesting": _COUNT,
    "ignore_result": _FLAG,
    "add_to_parent": _FLAG,
    "retry": _FLAG,
    "retry_policy": _MAP,
    "headers": _MAP,
    "stamped_headers": (are_texts, "a list of texts"),
    "serializer": _TEXT,
    "compression": _TEXT,
    "shadow": _TEXT,
    "reply_to": _TEXT,
    "argsrepr": _TEXT,
    "kwargsrepr": _TEXT,
}
# Objects of Celery's and kombu's own that canvases and retries hand on, and properties that AMQP knows.
UNCHECKED = (
    *("producer", "publisher", "connection", "router", "result_cls", "task_type", "route_name", "origin"),
    *("exchange_type", "delivery_mode", "declare", "mandatory", "immediate", "timeout", "confirm_timeout"),
    *("event_dispatcher", "create_sent_event", "now", "timezone", "redelivered", "expiration"),
    *("correlation_id", "message_id", "user_id", "app_id", "type", "timestamp"),
)
KNOWN = (*CHECKS, *UNCHECKED)


def check_execution_options(options: Mapping[str, Any]) -> None:
    """Refuse what Celery would trip over, or lose without a word. Raises BadInput."""
    check_values(options)
    stamps = options.get("stamped_headers") or ()
    for name in options:
        if name not in KNOWN and name not in stamps:
            raise BadInput(name, f"an unknown execution option{suggest(name, KNOWN)}", "one that Celery has")


def check_values(options: Mapping[str, Any]) -> None:
    """Refuse options of a wrong kind, whatever else there is. Raises BadInput. None counts as not given."""
    for name, (is_right, allowed) in CHECKS.items():
        value = options.get(name)
        if value is not None and not is_right(value):
            raise BadInput(name, shown(value), allowed)
