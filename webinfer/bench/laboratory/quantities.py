"""Shares and times as people write them: 3%, 90s. Pure."""

from __future__ import annotations

import re

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import shown

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
NUMBER = r"(\d+(?:\.\d+)?)\s*"


def read_share(value: object, field: str) -> float:
    """The share in `3%` or 0.03, from 0.1 % to 1000 %. Raises BadInput.

    Without a % it is below 1: 5 would be taken for 5 % by whoever reads it.
    """
    found = re.fullmatch(NUMBER + "(%?)", str(value).strip())
    share = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0.001 <= share <= 10 or (found and not found[2] and share >= 1):
        raise BadInput(field, shown(value), "a share from 0.1% to 1000%, such as 3%, or 0.03 below 1")
    return share


def read_duration(value: object, field: str) -> float:
    """The seconds in `90s`, `500ms`, `2m` or a number, up to a day. Raises BadInput."""
    found = re.fullmatch(NUMBER + "(ms|s|m|h|)", str(value).strip())
    seconds = float(found[1]) * UNITS_S[found[2]] if found else 0.0
    if not 0 < seconds <= 86_400:
        raise BadInput(field, shown(value), "a time up to a day, such as 90s, 500ms or 2m")
    return seconds
