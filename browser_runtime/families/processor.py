"""The base of the processors, one class a family; finding them by a row's name, and keeping them open."""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from browser_runtime.contract.errors import BadInput, Unsupported
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.models.files.json_files import Json
from browser_runtime.models.manifest import StoredModel

# Twice what a lane keeps models by default (`max_loaded_models`); a multilingual vocabulary takes 100 MB.
MAX_OPEN = 8

Options = Mapping[str, Any]
"""Options of a request by name, each of a type that `contract.options` checked; or a processor's choices."""
Plain = dict[str, object]
"""Plain values and arrays by name, as frames carry them."""
Output = dict[str, Any]
"""The output of one item, with the keys of its family: see page/README.md."""


class Processor:
    """The work for one model around its graphs, as transformers' processors do it: before a page and after.

    A subclass a family; what a family does not need stays as it is here. Nothing changes after `open`, so any
    thread may use it.
    """

    @classmethod
    def check(cls, folder: Path) -> None:
        """Returns if everything that the files in `folder` ask for is done here.

        Raises BadInput naming the file, the key, its value and what is allowed, and BadRequest for a damaged
        file.
        """

    @classmethod
    def read_settings(cls, folder: Path) -> Json:
        """The settings that the model's manifest keeps. Raises BadInput."""
        return {}

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput or BadRequest like `check`."""
        raise NotImplementedError

    @property
    def settings(self) -> Plain:
        """Plain values and arrays for opening the model in a page."""
        return {}

    def describe(self) -> Plain:
        """Details for readers of a reply, `warnings` among them if there are any."""
        return {}

    def warnings(self) -> list[str]:
        """Doubts about the model's files that every reply must mention."""
        return []

    def choose(self, options: Options) -> Mapping[str, object]:
        """The plain values that a run follows, for a request's options. Raises BadInput."""
        return dict(options)

    def encode(self, items: Sequence[Any], fields: Sequence[str], options: Options) -> list[Any]:
        """The items as they go to a page; a BadInput, naming its field, in the place of one that cannot.

        Raises BadInput for an option that the model does not have.
        """
        return list(items)

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters that `encode` has to work through; 0 if it costs nothing."""
        return 0

    def measure(self, item: Any) -> float:
        """The length that batches are padded to, of an encoded item; 1 if all are made one size."""
        return 1.0

    def estimate_work(self, item: Any, options: Options) -> float:
        """The work of an encoded item, under a request's options, in units that a run's time grows with."""
        return 1.0

    def finish(self, output: Output) -> Output:
        """The output of a page with what is added here. Raises BadOutput for one that says nothing."""
        return output

    def find_doubt(self, output: Output) -> str:
        """The warning that a finished output needs; empty if it is as usual."""
        return ""

    @property
    def trial_options(self) -> Options:
        """Options of a run that only shows whether the model runs at all."""
        return {}

    def sample_items(self) -> list[Any]:
        """Items of usual sizes, made up: what a model is tried on."""
        raise NotImplementedError

    def read_example(self, path_or_text: str) -> Any:
        """The item of a golden example in the model's folder, not encoded yet."""
        raise NotImplementedError


def find_processor(family: FamilySpec) -> type[Processor]:
    """The class of a row, from `browser_runtime/families/<name>.py`. Raises Unsupported if it has none."""
    try:
        module = importlib.import_module(f"browser_runtime.families.{family.name}")
    except ModuleNotFoundError as error:
        raise Unsupported(f"the family {family}", "this worker has no processor for it") from error
    found: type[Processor] = module.PROCESSOR
    return found


def check_files(folder: Path, family: FamilySpec) -> None:
    """Returns if a model of `family` in `folder` can be run here. Raises BadInput, BadRequest."""
    find_processor(family).check(folder)


class OpenProcessors:
    """The processors that are open in this process; beyond the limit the least recently used is closed."""

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._open: OrderedDict[tuple[Path, str], Processor] = OrderedDict()
        self._opening = threading.Lock()

    def find(self, model: StoredModel) -> Processor | None:
        """The open one, without waiting."""
        return self._open.get((model.folder, model.revision))

    def take(self, model: StoredModel) -> Processor:
        """The open one, or one that is opened now: half a second for a large vocabulary.

        Raises BadInput or BadRequest for a model whose files cannot be used.
        """
        key = (model.folder, model.revision)
        with self._opening:
            if key not in self._open:
                self._open[key] = find_processor(model.family).open(model)
            self._open.move_to_end(key)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
            return self._open[key]


PROCESSORS = OpenProcessors()
"""Shared by everything in this process that runs a model."""


def locate_example(model: StoredModel, relative: str) -> Path:
    """The path of a file that the manifest lists, and that was verified for it."""
    if relative not in model.files:
        raise BadInput("an example", repr(relative), f"a file of model {model.name!r}")
    return model.folder / relative
