"""Any accepted form of inputs -> the plain batch of one family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.families import inputs_of
from browser_runtime.contract.family_spec import InputSpec
from browser_runtime.contract.vocabulary import Family
from tasks.inputs.limits import InputLimits, Total
from tasks.inputs.readers import Item, find_reader

# A reply of an earlier task in another task's.
MAX_WRAPPED = 3


@dataclass(frozen=True, slots=True)
class Plain:
    """The part of a `Request` that comes from the user's inputs."""

    inputs: dict[str, list[Item]]
    single: bool
    """The user gave one item, not a list."""
    synthetic: bool
    """At least one item was made from a bare shape."""
    notes: tuple[str, ...] = ()
    """Notes for the reply's warnings: parts of the inputs that were left out, or taken on trust."""


def normalise(
    family: Family, inputs: Any, limits: InputLimits, field: str = "inputs", *, allow_paths: bool = True
) -> Plain:
    """The plain batch in `inputs`. Raises BadInput or TooLarge with one sentence naming the item.

    `allow_paths` is False if the inputs come from another task, whose author must not pick files here.
    """
    spec = inputs_of(family)
    inputs = _unwrap(inputs, spec)
    items = None if find_reader(spec).is_item(inputs) else _batch_of(inputs, spec)
    named = [(field, inputs)] if items is None else _named(items, limits, field)
    reading = _Reading(spec, limits, field, allow_paths)
    values = [reading.take(value, name) for name, value in named]
    return Plain({spec.batch: values}, items is None, reading.synthetic, tuple(reading.notes))


class _Reading:
    """Reads one request's items, and ends as soon as all together are too large."""

    def __init__(self, spec: InputSpec, limits: InputLimits, field: str, allow_paths: bool) -> None:
        self._reader, self._limits, self._allow_paths = find_reader(spec), limits, allow_paths
        self._total = Total(limits, field)
        self.synthetic = False
        self.notes: list[str] = []

    def take(self, value: object, name: str) -> Item:
        """The plain item in `value`. Raises BadInput, TooLarge."""
        if isinstance(value, dict) and "success" in value and "output" in value:
            value = value["output"]
        item = self._reader.synthesize(value, self._limits, name)
        if item is None:
            item = self._reader.read(value, self._limits, name, self._allow_paths, self.notes.append)
        else:
            self.synthetic = True
        self._total.add(item)
        return item


def _unwrap(inputs: Any, spec: InputSpec, depth: int = 0) -> Any:
    """The value inside a reply (of an earlier task of a chain), `{"images": [...]}` or `{"image": [...]}`."""
    if isinstance(inputs, dict):
        if "success" in inputs and "output" in inputs and depth < MAX_WRAPPED:
            return _unwrap(inputs["output"], spec, depth + 1)
        if spec.batch in inputs and len(inputs) == 1:
            return inputs[spec.batch]
        wrapped = inputs.get(spec.item)
        if isinstance(wrapped, (list, tuple)) and len(inputs) == 1:
            return wrapped
        texts = inputs.get("text") if spec.may_hold_texts else None
        if isinstance(texts, (list, tuple)) and len(inputs) == 1:
            return [{"text": text} for text in texts]
    return inputs


def _batch_of(inputs: Any, spec: InputSpec) -> Sequence[Any] | None:
    """The items of a batch, None for a single item; a 4-D array is a batch of images."""
    if isinstance(inputs, (list, tuple)):
        return inputs
    if isinstance(inputs, np.ndarray) and inputs.ndim == spec.batch_axes:
        return list(inputs)
    return None


def _named(items: Sequence[Any], limits: InputLimits, field: str) -> list[tuple[str, Any]]:
    limits.check_count(len(items), field)
    return [(f"{field}[{index}]", item) for index, item in enumerate(items)]
