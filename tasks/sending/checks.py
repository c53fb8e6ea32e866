"""Predicates on the parts of a message: what Celery reads without looking."""

from __future__ import annotations

import datetime as dt
import math

MAX_ID = 128
# Ten years: beyond it a number is no time to wait, but a mistake.
LONGEST_S = 10 * 366 * 86400.0


def is_id(value: object) -> bool:
    """True if `value` can be the id of a task or group, or the name of a task."""
    return isinstance(value, str) and 1 <= len(value) <= MAX_ID


def is_text(value: object) -> bool:
    """True if `value` is a text."""
    return isinstance(value, str)


def is_flag(value: object) -> bool:
    """True if `value` is true or false."""
    return isinstance(value, bool)


def is_count(value: object) -> bool:
    """True if `value` is a whole number from 0."""
    return type(value) is int and value >= 0


def is_seconds(value: object) -> bool:
    """True if `value` is a number of seconds from 0."""
    return is_number(value) and value >= 0  # type: ignore[operator]


def is_number(value: object) -> bool:
    """True if `value` is a number of seconds, before or after now."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and abs(value) <= LONGEST_S  # type: ignore[arg-type]


def is_time(value: object) -> bool:
    """True if `value` is a time of day: a datetime, or a text in ISO 8601."""
    if isinstance(value, dt.datetime):
        return True
    try:
        return isinstance(value, str) and bool(dt.datetime.fromisoformat(value))
    except ValueError:
        return False


def are_texts(value: object) -> bool:
    """True if `value` is a list of texts."""
    return isinstance(value, (list, tuple)) and all(map(is_text, value))


def is_map(value: object) -> bool:
    """True if `value` is a dict whose keys are texts."""
    return isinstance(value, dict) and all(map(is_text, value))


def is_signature(value: object) -> bool:
    """True if `value` is a signature: a dict that names its task."""
    return isinstance(value, dict) and is_id(value.get("task"))


def are_signatures(value: object) -> bool:
    """True if `value` is a list of signatures."""
    return isinstance(value, (list, tuple)) and all(map(is_signature, value))


def is_unicode(value: object) -> bool:
    """True if all texts in `value` can be written as UTF-8: JSON can spell halves of characters, too."""
    if isinstance(value, dict):
        return all(is_unicode(key) and is_unicode(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_unicode, value))
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
