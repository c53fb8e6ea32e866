"""Sizes that images are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.models.configuration.fields import whole

# A side of an image that a graph takes; beyond this one image is over 200 MB of numbers.
MAX_SIDE = 4096
SIDE = whole(MAX_SIDE)
Values = Mapping[str, Any]
"""The values of a file and the defaults of its processor, each of a type that the key's rule accepts."""


@dataclass(frozen=True, slots=True)
class Exact:
    """An image of this size, whatever its shape was."""

    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Shortest:
    """The shorter side as long as this, the longer one in proportion, cut to an integer."""

    length: int


Size = Exact | Shortest
