"""A breaker for each model that fails: it costs the model, never the browser that was asked to run it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from browser_runtime.contract.errors import (
    BackendFault,
    BadOutput,
    InferenceError,
    ModelFault,
    PageFault,
    PageSilent,
)
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import BreakerState, FailingModel
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.policies.breaker import Breaker

# Models that failed lately; one that is forgotten has to fail again to be refused.
MAX_MODELS = 256


@dataclass
class ModelHealth:
    """One model's breaker and its last error."""

    breaker: Breaker = field(default_factory=Breaker)
    last_error: str = ""


class ModelBreakers:
    """The models of a pool that have failed, by their keys, whatever the backend."""

    def __init__(self) -> None:
        self._models: OrderedDict[ModelKey, ModelHealth] = OrderedDict()

    def refusal(self, model: ModelKey) -> ModelFault | None:
        """The error for a model whose breaker is open: until when, and what it failed with last."""
        known, now = self._models.get(model), time.monotonic()
        if known is None or known.breaker.state(now) is not BreakerState.OPEN:
            return None
        left_s = known.breaker.closed_for_s(now)
        at = datetime.now(UTC) + timedelta(seconds=left_s)
        n_failures = known.breaker.counts(now).failures
        times = "once" if n_failures == 1 else f"{n_failures} times in a row"
        return ModelFault(
            model.name,
            f"it failed {times} and is not tried before {at:%H:%M:%S} UTC (in {left_s:.0f} s); the last "
            f"error was: {known.last_error}",
        )

    def may_start(self, model: ModelKey) -> bool:
        """Return whether a run may start now: not while a few probes try a model that has failed."""
        known = self._models.get(model)
        return known is None or known.breaker.would_allow(time.monotonic())

    def started(self, model: ModelKey) -> None:
        """Record the start of a run; `succeeded`, `failed` or `withdrawn` is to follow."""
        if model in self._models:
            self._models[model].breaker.allow(time.monotonic())

    def succeeded(self, model: ModelKey) -> None:
        """Record that the model was loaded, or ran on something."""
        known, now = self._models.get(model), time.monotonic()
        if known is None:
            return
        known.breaker.record_success(now)
        if known.breaker.state(now) is BreakerState.CLOSED:
            del self._models[model]

    def failed(self, model: ModelKey, error: InferenceError) -> None:
        """Record a load, or a whole run, that failed for good; only the model's own errors count.

        A model that crashes an engine whenever it is loaded, or hangs, is not tried four times more: each
        time costs the other models of its lane.
        """
        now = time.monotonic()
        if not is_models_own(error):
            self.withdrawn(model)
            return
        known = self._models.setdefault(model, ModelHealth())
        known.last_error = str(error)
        is_loading = error.at is not None and not error.at.backend
        is_costly = isinstance(error, PageSilent) or (is_loading and isinstance(error, BackendFault))
        known.breaker.record_failure(now, crash=is_costly)
        self._models.move_to_end(model)
        while len(self._models) > MAX_MODELS:
            self._models.popitem(last=False)

    def withdrawn(self, model: ModelKey) -> None:
        """Record the end of a run that says nothing of the model."""
        if model in self._models:
            self._models[model].breaker.withdraw(time.monotonic())

    @contextmanager
    def counting(self, model: ModelKey) -> Iterator[None]:
        """Count how the block, a run of the model, ends."""
        self.started(model)
        try:
            yield
        except InferenceError as error:
            self.failed(model, error)
            raise
        except BaseException:
            self.withdrawn(model)
            raise
        self.succeeded(model)

    def failing(self) -> dict[ModelKey, FailingModel]:
        """Each model that has failed and not recovered since."""
        now = time.monotonic()
        return {
            key: FailingModel(known.breaker.counts(now), known.last_error)
            for key, known in self._models.items()
        }


def is_models_own(error: InferenceError) -> bool:
    """Return whether the error is its model's own.

    A backend that crashes does only where it is WebAssembly: what the others cannot, that one may.
    """
    if isinstance(error, PageSilent):
        return error.at is not None and bool(error.at.backend)
    if isinstance(error, BackendFault):
        return str(Backend.WASM) in str(error.args[0])
    return isinstance(error, (ModelFault, PageFault, BadOutput))
