"""Any accepted form of inputs -> the plain batch of one family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.vocabulary import Family
from tasks.inputs.images import read_image
from tasks.inputs.limits import InputLimits, Total
from tasks.inputs.notes import Note
from tasks.inputs.sounds import MAX_WRAPPED, read_sound
from tasks.inputs.synthetic import synthesize
from tasks.inputs.texts import read_text

Reader = Callable[[Any, InputLimits, str, bool, Note], Any]


@dataclass(frozen=True, slots=True)
class Plain:
    """The part of a `Request` that comes from the user's inputs."""

    inputs: dict[str, Any]
    single: bool
    """The user gave one item, not a list."""
    synthetic: bool
    """At least one item was made from a bare shape."""
    notes: tuple[str, ...] = ()
    """What the reply must tell of the inputs: what was left out of them, or taken on trust."""


@dataclass(frozen=True, slots=True)
class Form:
    """What one family reads: the key of its batch, the key a user may wrap one item in, the reader."""

    batch: str
    item: str
    read: Reader


FORMS: dict[Family, Form] = {
    Family.TEXT_EMBEDDING: Form("texts", "text", read_text),
    Family.VISION: Form("images", "image", read_image),
    Family.AUDIO: Form("sounds", "audio", read_sound),
}


def normalise(
    family: Family, inputs: Any, limits: InputLimits, field: str = "inputs", *, allow_paths: bool = True
) -> Plain:
    """The plain batch in `inputs`. Raises BadInput or TooLarge with one sentence naming the item.

    `allow_paths` is False where the inputs come from another task, whose author must not pick files here.
    """
    form = FORMS[family]
    inputs = _unwrap(inputs, form)
    items = _batch_of(inputs, family)
    named = [(field, inputs)] if items is None else _named(items, limits, field)
    reading = _Reading(family, limits, field, allow_paths)
    values = [reading.take(value, name) for name, value in named]
    return Plain({form.batch: values}, items is None, reading.synthetic, tuple(reading.notes))


class _Reading:
    """Reads one request's items, and ends as soon as all together are too large."""

    def __init__(self, family: Family, limits: InputLimits, field: str, allow_paths: bool) -> None:
        self._family, self._limits, self._field, self._allow_paths = family, limits, field, allow_paths
        self._total = Total(limits, field)
        self.synthetic = False
        self.notes: list[str] = []

    def take(self, value: Any, name: str) -> Any:
        """The plain item in `value`. Raises BadInput, TooLarge."""
        if isinstance(value, dict) and "success" in value and "output" in value:
            value = value["output"]
        item = synthesize(self._family, value, self._limits, name)
        if item is None:
            item = FORMS[self._family].read(value, self._limits, name, self._allow_paths, self.notes.append)
        else:
            self.synthetic = True
        self._total.add(item)
        return item


def _unwrap(inputs: Any, form: Form, depth: int = 0) -> Any:
    """The value inside a reply (of an earlier task of a chain), `{"images": [...]}` or `{"image": [...]}`."""
    if isinstance(inputs, dict):
        if "success" in inputs and "output" in inputs and depth < MAX_WRAPPED:
            return _unwrap(inputs["output"], form, depth + 1)
        if form.batch in inputs and len(inputs) == 1:
            return inputs[form.batch]
        wrapped = inputs.get(form.item)
        if isinstance(wrapped, (list, tuple)) and len(inputs) == 1:
            return wrapped
    return inputs


def _batch_of(inputs: Any, family: Family) -> Sequence[Any] | None:
    """The items of a batch, or None for a single item. A 4-D array is a batch of images."""
    if isinstance(inputs, (list, tuple)):
        return inputs
    if family is Family.VISION and isinstance(inputs, np.ndarray) and inputs.ndim == 4:
        return list(inputs)
    return None


def _named(items: Sequence[Any], limits: InputLimits, field: str) -> list[tuple[str, Any]]:
    limits.check_count(len(items), field)
    return [(f"{field}[{index}]", item) for index, item in enumerate(items)]
