"""The stored models that requests ask for, found once in a while instead of for each of them."""

from __future__ import annotations

import math
import time

from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.store import ModelStore, StoredModel

# Looking at a model's files costs as much as all else before a run.
PROVIDED_TTL_S = 1.0


class ModelProvider:
    """Asks the store; what it gave holds for PROVIDED_TTL_S."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._provided: dict[tuple[str, Precision], tuple[float, StoredModel]] = {}

    async def provide(self, request: Request) -> StoredModel:
        """The request's model, of its family and whole. Raises InferenceError."""
        key, now = (request.model_name, request.precision), time.monotonic()
        looked_at, model = self._provided.get(key, (-math.inf, None))
        if model is None or now - looked_at > PROVIDED_TTL_S:
            model = await self._store.provide(*key)
            self._provided[key] = (now, model)
        model.require_family(request.family)
        return model
