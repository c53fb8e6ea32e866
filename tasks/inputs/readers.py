"""The parts of an input normaliser, one a kind of items, and finding them by the name in a family's row."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.family_spec import InputSpec
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note

Chat = list[dict[str, str]]
"""Messages, each with its role and its content."""
Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
BesideTexts = dict[str, Any]
"""`{"image": an array, "texts": [str, ...]}`, the array left out where only texts were given."""
PicturedPrompt = dict[str, Any]
"""`{"images": [an array, ...]}` with `"messages"`, `"prompt"` or `"texts"`."""
Item = str | Chat | Array | BesideTexts | PicturedPrompt
Read = Callable[[object, InputLimits, str, bool, Note], Item]
Check = Callable[[object, InputLimits, str], object]
Synthesize = Callable[[object, InputLimits, str], Item | None]


def never(value: object, limits: InputLimits, field: str) -> None:
    """No item: for kinds that are never made from a bare shape."""


@dataclass(frozen=True, slots=True)
class ItemReader:
    """The normaliser of one kind of items; `tasks/inputs/<batch>.py` holds one as `READER`."""

    read: Read
    """The plain item in what a user gave. Raises BadInput, TooLarge naming the field."""
    check: Check
    """Returns if the item is plain, where it arrives. Raises BadInput, TooLarge."""
    is_item: Callable[[object], bool] = lambda value: False
    """True for a list that is one item, and not a batch."""
    synthesize: Synthesize = never
    """The made-up item for a bare shape; None for what is none. Raises BadInput, TooLarge."""


def find_reader(inputs: InputSpec) -> ItemReader:
    """The reader of a row's items."""
    found: ItemReader = importlib.import_module(f"tasks.inputs.{inputs.reader or inputs.batch}").READER
    return found


def bare_shape(value: object, key: str, names: set[str]) -> Mapping[str, object] | None:
    """The shape in `{key: {names...}}` or `{names...}`; None for anything else."""
    shape = value.get(key, value) if isinstance(value, dict) else None
    return shape if isinstance(shape, dict) and set(shape) == names else None
