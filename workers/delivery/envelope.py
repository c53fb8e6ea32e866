"""Checks of a whole message before Celery takes it for a task: its headers, its properties, its body.

Celery trusts its messages: a time limit that is a text, or a link that is a number, raises where nobody
acknowledges the message any more. A request's own content is checked by `Request.from_wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kombu.utils.json import loads

from browser_runtime.contract.errors import BadRequest, TooLarge
from tasks.payloads.codec import MAX_MESSAGE_BYTES
from tasks.sending.checks import (
    MAX_ID,
    are_signatures,
    are_texts,
    is_count,
    is_flag,
    is_id,
    is_map,
    is_seconds,
    is_signature,
    is_text,
    is_time,
    is_unicode,
)

MAX_SHOWN = 80

Check = Callable[[Any], bool]


def _are_limits(value: Any) -> bool:
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    return pair and all(limit is None or is_seconds(limit) for limit in value)


# What Celery reads; other headers are the sender's own. None counts as not given.
_ID = f"a text of 1 to {MAX_ID} characters"
_HEADERS: dict[str, tuple[Check, str]] = {
    "root_id": (is_id, _ID),
    "parent_id": (is_id, _ID),
    "group": (is_id, _ID),
    "group_index": (is_count, "a whole number from 0"),
    "retries": (is_count, "a whole number from 0"),
    "timelimit": (_are_limits, "two numbers of seconds, each may be null"),
    "eta": (is_time, "a time in ISO 8601"),
    "expires": (is_time, "a time in ISO 8601"),
    "shadow": (is_text, "a text"),
    "origin": (is_text, "a text"),
    "argsrepr": (is_text, "a text"),
    "kwargsrepr": (is_text, "a text"),
    "ignore_result": (is_flag, "true or false"),
    "stamped_headers": (are_texts, "a list of texts"),
    "stamps": (is_map, "an object"),
}
_PROPERTIES: dict[str, tuple[Check, str]] = {
    "correlation_id": (is_text, "a text"),
    "reply_to": (is_text, "a text"),
    "priority": (is_count, "a whole number from 0"),
}
_EMBEDDED: dict[str, tuple[Check, str]] = {
    "callbacks": (are_signatures, "a list of signatures"),
    "errbacks": (are_signatures, "a list of signatures"),
    "chain": (are_signatures, "a list of signatures"),
    "chord": (is_signature, "a signature"),
}


def check_item(item: Any) -> None:
    """Raises BadRequest where an item of a queue is no message that could be held and acknowledged."""
    if not isinstance(item, dict) or not isinstance(item.get("properties"), dict):
        raise BadRequest("the item of the queue is no message")
    if not is_unicode(item):
        raise BadRequest("the item of the queue holds half a character, which nobody could write again")
    properties = item["properties"]
    _require("delivery_tag", properties, is_id, _ID)
    info = properties.get("delivery_info")
    if not isinstance(info, dict):
        raise BadRequest(f"'delivery_info' is {_shown(info)}, but must be an object")
    for name in ("exchange", "routing_key"):
        _require(name, info, is_text, "a text")


def check_message(message: Any) -> None:
    """Raises BadRequest or TooLarge for a kombu message that cannot be a task."""
    headers = message.headers
    if not isinstance(headers, dict) or not headers:
        raise BadRequest("the message has no headers")
    _require("id", headers, is_id, _ID)
    _require("task", headers, is_id, _ID)
    _check_given(headers, _HEADERS, "header")
    _check_given(message.properties, _PROPERTIES, "property")
    size = len(message.body or b"")
    if size > MAX_MESSAGE_BYTES:
        raise TooLarge("the message", size, MAX_MESSAGE_BYTES)
    _check_body(_decoded(message))


def _decoded(message: Any) -> Any:
    """The body, which kombu keeps for Celery. Raises BadRequest."""
    try:
        return message.payload
    except Exception as error:  # whatever serializer the message names
        raise BadRequest(f"the body cannot be read: {error}") from error


def _check_body(body: Any) -> None:
    if not isinstance(body, (list, tuple)) or len(body) != 3:
        raise BadRequest("the body is no task's: it must be [args, kwargs, what to do next]")
    args, kwargs, embedded = body
    if not isinstance(args, (list, tuple)):
        raise BadRequest(f"'args' is {_shown(args)}, but must be a list")
    if not is_map(kwargs):
        raise BadRequest(f"'kwargs' is {_shown(kwargs)}, but must be an object")
    if embedded is not None and not isinstance(embedded, dict):
        raise BadRequest(f"what to do next is {_shown(embedded)}, but must be an object")
    if not is_unicode(embedded):
        raise BadRequest("what to do next holds half a character, which nobody could write again")
    _check_given(embedded or {}, _EMBEDDED, "part")


def _check_given(values: Mapping[str, Any], checks: Mapping[str, tuple[Check, str]], what: str) -> None:
    for name, (check, allowed) in checks.items():
        value = values.get(name)
        if value is not None and not check(value):
            raise BadRequest(f"{what} {name!r} is {_shown(value)}, but must be {allowed}")


def _require(name: str, values: Mapping[str, Any], check: Check, allowed: str) -> None:
    if not check(values.get(name)):
        raise BadRequest(f"{name!r} is {_shown(values.get(name))}, but must be {allowed}")


def _shown(value: Any) -> str:
    """`value` in a few words; of a long one only its kind."""
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def find_headers(item: Any) -> dict[str, Any]:
    """The headers in whatever lay in a queue: an object, or its JSON; empty where there are none."""
    try:
        found = loads(item) if isinstance(item, (str, bytes)) else item
    except (ValueError, TypeError, RecursionError):
        return {}
    if isinstance(found, (list, tuple)) and found:  # as it lies among the unacknowledged
        found = found[0]
    headers = found.get("headers") if isinstance(found, dict) else None
    return headers if isinstance(headers, dict) else {}


def find_embedded(message: Any) -> dict[str, Any]:
    """The task's chain, chord and links, as far as they can be read."""
    try:
        _, _, embedded = message.payload
        return {name: embedded[name] for name, (check, _) in _EMBEDDED.items() if check(embedded.get(name))}
    except Exception:  # whatever serializer the message names; what cannot be read is why it is buried
        return {}
