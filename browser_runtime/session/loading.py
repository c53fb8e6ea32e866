"""Models of one lane: loaded ones, refused ones with reasons, the next to unload."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from browser_runtime.contract.acceleration import plan_loading
from browser_runtime.contract.answers import ItemResult, LoadAnswer, RunAnswer, read_times_ms
from browser_runtime.contract.errors import BackendFault, BadOutput, InferenceError
from browser_runtime.contract.messages import LOAD_STEPS, Request
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.options import LOAD_FLAGS
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.families.processor import Processor
from browser_runtime.models.files.graphs import GraphContent
from browser_runtime.models.store import StoredModel
from browser_runtime.policies.time_limits import WarmUp
from browser_runtime.session.golden import Golden


@dataclass(slots=True)
class LoadedModel:
    """A model that is open and warm in a lane."""

    key: ModelKey
    answer: LoadAnswer
    """The page's answer to `load`: kernel, times, warm-up, placement."""
    processor: Processor
    """The work around its graphs, before a run and after."""
    golden: Golden | None = None
    """The right answer to an example; None for a model that has none."""
    n_runs: int = 0
    """Since its last golden check."""

    contents: frozenset[str] = frozenset()
    """Hashes of the graphs that it holds, for other models to share; none where it shares nothing."""
    n_bad_runs: int = 0
    """Runs in a row none of whose results could be trusted."""

    def finish(self, answer: RunAnswer) -> RunAnswer:
        """The page's answer to `run`, its outputs finished and checked by the processor."""
        results = [self._finish(result) if result.get("ok") else result for result in answer["results"]]
        return {**answer, "results": results}

    def _finish(self, result: ItemResult) -> ItemResult:
        try:
            output = self.processor.finish(result["output"])
        except BadOutput as error:
            return {"ok": False, "error": {**error.to_plain()}}
        return {**result, "output": output, "warning": self.processor.find_doubt(output)}

    @property
    def parts(self) -> dict[str, int]:
        """Bytes of what it holds, by a name that is equal where it is the same as another model's."""
        parts = {part["name"]: part["size_bytes"] for part in self.answer.get("parts", ())}
        own = int(self.answer.get("weight_bytes") or 0) - sum(parts.values())
        return parts | ({str(self.key): own} if own > 0 else {})

    @property
    def warm_up(self) -> WarmUp | None:
        """Findings of its opening; None where the page took no time for it."""
        times_s = {step: ms / 1000 for step, ms in read_times_ms(self.answer, LOAD_STEPS).items()}
        n_runs = self.answer.get("warmup_runs") or 0
        return WarmUp(times_s["warmup_ms"] / n_runs, sum(times_s.values())) if n_runs else None

    @property
    def backend(self) -> Backend:
        """The backend that it computes on."""
        assert self.key.backend is not None, "a loaded model is on a backend"
        return self.key.backend


@dataclass
class ModelCache:
    """The loaded models of one lane, least recently used first."""

    limit: int
    max_bytes: float = math.inf
    """Weights that the loaded models may hold together."""
    loaded: OrderedDict[ModelKey, LoadedModel] = field(default_factory=OrderedDict)
    refused: dict[ModelKey, InferenceError] = field(default_factory=dict)
    """Keys that this lane cannot load and why, so that no request tries again."""
    distrusted: dict[ModelKey, InferenceError] = field(default_factory=dict)
    """The same for every lane of this browser: what crashed an engine or computed wrongly in one of them."""

    def take(self, key: ModelKey) -> LoadedModel | None:
        """The loaded model, now the most recently used."""
        if key in self.loaded:
            self.loaded.move_to_end(key)
        return self.loaded.get(key)

    def holds(self, key: ModelKey) -> bool:
        """True if the model of `key` is loaded, on whatever backend."""
        return any(loaded.anywhere() == key for loaded in self.loaded)

    def count_slots(self, key: ModelKey, usual: int) -> int:
        """Prompts that the model of `key` takes at once, as it was opened here; `usual` where it is not."""
        opened = (model.answer for loaded, model in self.loaded.items() if loaded.anywhere() == key)
        return min((int(answer.get("details", {}).get("slots", usual)) for answer in opened), default=usual)

    def put(self, model: LoadedModel) -> None:
        """Keep a model that has just been loaded."""
        self.loaded[model.key] = model

    def refuse(self, key: ModelKey, error: InferenceError) -> None:
        """Try that model on that backend no more: abilities do not change."""
        store = self.distrusted if isinstance(error, (BackendFault, BadOutput)) else self.refused
        store[key] = error.copy()

    def refusal(self, key: ModelKey) -> InferenceError | None:
        """Return the error that keeps the key from being tried; None where there is none."""
        known = self.refused.get(key) or self.distrusted.get(key)
        return None if known is None else known.copy()

    @property
    def model_names(self) -> set[str]:
        """The models that are loaded, on whatever backend."""
        return {key.name for key in self.loaded}

    @property
    def held_bytes(self) -> int:
        """Weights of the loaded models, as their pages measured them; what models share counts once."""
        parts: dict[str, int] = {}
        for model in self.loaded.values():
            parts |= model.parts
        return sum(parts.values())

    @property
    def contents(self) -> set[str]:
        """Hashes of the graphs that the loaded models hold, on whatever backend."""
        return set[str]().union(*(model.contents for model in self.loaded.values()))

    def missing_bytes(self, contents: Iterable[GraphContent], backend: Backend | None) -> int:
        """The bytes of those graphs that no loaded model holds on `backend`."""
        held = set[str]().union(
            *(model.contents for model in self.loaded.values() if model.backend is backend)
        )
        return sum({each.hash: each.size_bytes for each in contents if each.hash not in held}.values())

    def overdue(
        self,
        needed: Sequence[GraphContent],
        in_use: Container[ModelKey] = (),
        backend: Backend | None = None,
    ) -> ModelKey | None:
        """The key to unload before a model of those graphs is loaded; None where there is room, or no model.

        A model whose key on any backend is `in_use` stays. Of the others the least recently used goes, those
        last that hold a graph which is needed, and those whose end frees nothing.
        """
        missing = self.missing_bytes(needed, backend)
        if len(self.loaded) < self.limit and self.held_bytes + missing <= self.max_bytes:
            return None
        spare = [key for key in self.loaded if key.anywhere() not in in_use]
        wanted = {each.hash for each in needed}
        return min(spare, key=lambda key: self._worth(key, wanted), default=None)

    def _worth(self, key: ModelKey, wanted: Container[str]) -> tuple[bool, bool]:
        """What speaks against unloading a model."""
        model = self.loaded[key]
        others = set[str]().union(*(other.parts for other in self.loaded.values() if other is not model))
        return any(each in wanted for each in model.contents), set(model.parts) <= others

    def drop(self, key: ModelKey) -> None:
        """Forget a model that was unloaded."""
        self.loaded.pop(key, None)

    def clear(self) -> None:
        """Forget everything: the page was loaded anew."""
        self.loaded.clear()
        self.refused.clear()

    def forget_backend(self, backend: Backend) -> None:
        """Forget the models whose device was lost."""
        for key in [key for key, model in self.loaded.items() if model.backend is backend]:
            del self.loaded[key]


def load_options(request: Request) -> dict[str, Any]:
    """The request's options that change how its model is opened."""
    given = {name: request.options.get(name) for name in LOAD_FLAGS}
    return {name: value for name, value in given.items() if value is not None and value != LOAD_FLAGS[name]}


def load_values(
    model: StoredModel,
    processor: Processor,
    request: Request,
    cache_bytes: int,
    is_sharing: bool = True,
    is_software: bool | None = None,
) -> dict[str, object]:
    """The values of a `load` call (see page/README.md), besides the key and the backend.

    `cache_bytes`: the most that keys and values of all prompts may take. `is_sharing`: False where this
    machine's settings keep every model's graphs to itself. `is_software`: whether the adapter is.
    """
    contents = model.contents(request.precision)
    return {
        "family": model.family.name,
        "model": {
            "name": model.name,
            "revision": model.revision,
            "url": f"/models/{model.name}@{quote(model.version, safe='')}/",
            "graphs": {
                stem: {
                    "path": graph.path,
                    "weights": graph.name_weights(),
                    "content": contents[stem].hash,
                }
                for stem, graph in model.graphs(request.precision).items()
            },
            "settings": processor.settings,
            "limits": model.family.limits.to_wire() | {"cache_bytes": cache_bytes},
        },
        "precision": str(request.precision),
        "acceleration": plan_loading(request.options, is_software),
        "options": load_options(request) | ({} if is_sharing else {"tensor_sharing": False}),
    }


def key_of(model: StoredModel, request: Request, backend: Backend | None = None) -> ModelKey:
    """Return the key of the model as this request wants it opened; on any backend where none is given."""
    flags = tuple(
        name if value is True else f"{name}={value}" for name, value in load_options(request).items()
    )
    return ModelKey.of(model.name, model.version, backend, request.precision, flags)


def needed_contents(model: StoredModel, request: Request) -> tuple[GraphContent, ...]:
    """What a lane has to hold for the request; under names of its own where it shares nothing."""
    contents = tuple(model.contents(request.precision).values())
    if request.options.get("tensor_sharing") is not False:
        return contents
    owner = key_of(model, request)
    return tuple(replace(content, hash=f"{owner} {content.hash}") for content in contents)


def items_of(request: Request) -> list[Any]:
    """The request's items, whatever its family calls them."""
    return list(next(iter(request.inputs.values())))
