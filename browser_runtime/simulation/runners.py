"""Opens a model for its family and runs items through it; each item succeeds or fails alone."""

from __future__ import annotations

import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from browser_runtime.contract.errors import InferenceError, Unsupported
from browser_runtime.contract.families import inputs_of
from browser_runtime.contract.options import check_options
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.families.processor import PROCESSORS, Options, Output, Processor
from browser_runtime.models.manifest import StoredModel

# As many as a browser's lane keeps by default (`max_loaded_models`).
MAX_OPEN_MODELS = 4


class FamilyRunner(Protocol):
    """An open model of one family: an item goes through the three steps, or fails alone in one of them.

    `options` are what the model's processor chose for the call; items are encoded by it.
    """

    def prepare(self, item: Any, field: str, options: Options) -> Any:
        """The item as the graph takes it."""

    def compute(self, prepared: Any, options: Options) -> Any:
        """The graph's output for it."""

    def finish(self, prepared: Any, computed: Any, options: Options) -> Output:
        """The item's output, as the page's contract has it."""


Opened = tuple[FamilyRunner, Processor]


def open_runner(model: StoredModel, precision: Precision) -> Opened:
    """The model, opened for its family, with its processor. Raises BadInput for what is not done here."""
    processor = PROCESSORS.take(model)
    try:
        module = importlib.import_module(f"browser_runtime.simulation.{model.family.name}")
    except ModuleNotFoundError as error:
        raise Unsupported(f"the family {model.family}", "the simulation has no engine for it") from error
    runner: FamilyRunner = module.RUNNER(model, processor, precision)
    return runner, processor


@dataclass
class Spent:
    """Milliseconds by step, summed over the items."""

    preprocess_ms: float = 0.0
    compute_ms: float = 0.0
    postprocess_ms: float = 0.0

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Adds what the block takes to `step`, also when it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, step, getattr(self, step) + (time.perf_counter() - start) * 1000)


@dataclass
class Answers:
    """The results of one run: an output or an error for each item."""

    outputs: list[Output | InferenceError] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)


class OpenModels:
    """The models open in this process, the least recently used closed beyond the limit."""

    def __init__(self, limit: int = MAX_OPEN_MODELS) -> None:
        self._limit = limit
        self._open: OrderedDict[tuple[Path, str, Precision], Opened] = OrderedDict()
        self._guard = threading.Lock()

    def take(self, model: StoredModel, precision: Precision) -> tuple[Opened, float]:
        """The open model and how long opening took, in milliseconds; 0 if it was open."""
        key = (model.folder, model.revision, precision)
        with self._guard:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key], 0.0
            started = time.perf_counter()
            self._open[key] = open_runner(model, precision)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
            return self._open[key], (time.perf_counter() - started) * 1000


def run_items(opened: Opened, family: Family, items: list[Any], options: Options) -> Answers:
    """Each item's output or error, one after another. Raises BadInput for options that are wrong."""
    _, processor = opened
    checked = check_options(options, family)
    choices = processor.choose(checked)
    answers = Answers()
    fields = [f"{inputs_of(family).batch}[{index}]" for index in range(len(items))]
    with answers.spent.timing("preprocess_ms"):
        encoded = processor.encode(items, fields, checked)
    for item, field_name in zip(encoded, fields, strict=True):
        answers.outputs.append(_run_item(opened, item, field_name, choices, answers.spent))
    return answers


def _run_item(
    opened: Opened, item: Any, name: str, options: Options, spent: Spent
) -> Output | InferenceError:
    if isinstance(item, InferenceError):
        return item
    runner, processor = opened
    try:
        with spent.timing("preprocess_ms"):
            prepared = runner.prepare(item, name, options)
        with spent.timing("compute_ms"):
            computed = runner.compute(prepared, options)
        with spent.timing("postprocess_ms"):
            return processor.finish(runner.finish(prepared, computed, options))
    except InferenceError as error:
        return error


def reference(
    model: StoredModel,
    family: Family,
    items: list[Any],
    options: Options | None = None,
    precision: Precision = Precision.FP32,
) -> list[Output]:
    """The outputs that a page is held to, from Python's onnxruntime. Raises the first item's error."""
    model.require_family(family)
    opened = open_runner(model, precision)
    outputs: list[Output] = []
    for answer in run_items(opened, family, items, options or {}).outputs:
        if isinstance(answer, InferenceError):
            raise answer
        outputs.append(answer)
    return outputs
