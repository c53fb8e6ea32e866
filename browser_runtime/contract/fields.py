"""The fields of a request, one function each: the value where it is allowed, or BadInput naming the field.

Producers check what a user gave with them, workers what a message brought: see `messages.Request.from_wire`.
"""

from __future__ import annotations

import math
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, parse_backend, shown

MAX_NAME = 200
# More words than there are backends, for who says one twice.
MAX_BACKENDS = 16
LONGEST_DEADLINE_S = 7 * 86400.0
MAX_NOTES = 4096
MAX_NOTE = 500


def check_name(name: Any, field: str = "model_name") -> str:
    """A model's name as text; whether it exists, and stays inside the store, is the store's to say."""
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise BadInput(field, shown(name), f"a printable name of 1 to {MAX_NAME} characters")
    return name


def check_backends(backends: Any, field: str = "priority_list") -> tuple[Backend, ...]:
    """In the order asked; a word said twice counts once."""
    if not isinstance(backends, (list, tuple)) or len(backends) > MAX_BACKENDS:
        raise BadInput(field, shown(backends), "a list of " + ", ".join([*PAGE_BACKENDS, "cpu"]))
    return tuple(dict.fromkeys(parse_backend(word, field) for word in backends))


def check_deadline(deadline_s: Any, field: str = "deadline_s") -> float | None:
    """Seconds; None for no deadline."""
    if deadline_s is None:
        return None
    if isinstance(deadline_s, bool) or not isinstance(deadline_s, (int, float)):
        raise BadInput(field, shown(deadline_s), "a number of seconds")
    if not (math.isfinite(deadline_s) and 0 < deadline_s <= LONGEST_DEADLINE_S):
        raise BadInput(
            field, shown(deadline_s), f"a positive number of seconds, at most {LONGEST_DEADLINE_S:g}"
        )
    return float(deadline_s)


def check_flag(flag: Any, field: str) -> bool:
    """True or False itself, nothing that counts as one."""
    if not isinstance(flag, bool):
        raise BadInput(field, shown(flag), "True or False")
    return flag


def check_notes(notes: Any, field: str = "notes") -> tuple[str, ...]:
    """Sentences for the reply's warnings."""
    if not isinstance(notes, (list, tuple)) or len(notes) > MAX_NOTES:
        raise BadInput(field, shown(notes), f"a list of at most {MAX_NOTES} texts")
    for note in notes:
        if not isinstance(note, str) or len(note) > MAX_NOTE:
            raise BadInput(field, shown(note), f"texts of at most {MAX_NOTE} characters")
    return tuple(notes)
