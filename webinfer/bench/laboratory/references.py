"""Answers of Python's onnxruntime, against which those of browsers are checked."""

from __future__ import annotations

import asyncio

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.models.store import StoredModel
from browser_runtime.session.loading import items_of
from browser_runtime.simulation.runners import OpenModels, run_items
from webinfer.bench.laboratory.answers import Answer, read_answer
from webinfer.bench.laboratory.matrix_cells import Coordinates


class References:
    """Answers of Python's onnxruntime, one a request."""

    def __init__(self) -> None:
        self._models = OpenModels()
        self._known: dict[tuple[str, str, int, int | None], Answer | str] = {}

    async def find(self, at: Coordinates, request: Request, model: StoredModel) -> Answer | str:
        """The answer, or why there is none."""
        key = (at.model, at.precision, at.batch, at.length)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(self._answer, request, model)
        return self._known[key]

    def _answer(self, request: Request, model: StoredModel) -> Answer | str:
        try:
            opened, _ = self._models.take(model, request.precision)
            answers = run_items(opened, request.family, items_of(request), request.options)
        except InferenceError as error:
            return str(error)
        first = answers.outputs[0]
        return str(first) if isinstance(first, InferenceError) else read_answer(first, model.family.answer)
