"""A request's items as they go to a page, and their sizes: texts become tokens, sounds have their windows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.contract.options import require_options_of
from browser_runtime.families.processor import PROCESSORS, Processor
from browser_runtime.models.manifest import StoredModel
from browser_runtime.session.loading import items_of

# About a millisecond; beyond it another thread does it, so that the worker's loop goes on.
MAX_INLINE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with encoded items, and the sizes of those items for the model that it asks for."""

    request: Request
    lengths: tuple[float, ...] = ()
    """For each item the length that a batch is padded to; 1 for an item that was refused."""
    work: float = 0.0
    """All items together, in units that a run's time grows with."""


async def prepare(request: Request, model: StoredModel) -> Prepared:
    """Encodes the items with the model's processor; one that is wrong becomes a BadInput in its place.

    A request without items stays as it is. Raises BadRequest or BadInput for a model whose files cannot be
    used, and BadInput for an option that the model does not have.
    """
    require_options_of(model.family, request.options, model.graphs(request.precision))
    request = request.seeded(model.family)
    items = items_of(request)
    if not items:
        return Prepared(request)
    processor = PROCESSORS.find(model)
    if processor is not None and processor.count_characters(items) <= MAX_INLINE_CHARACTERS:
        return _encode(request, processor)
    processor = await asyncio.to_thread(PROCESSORS.take, model)
    return await asyncio.to_thread(_encode, request, processor)


def _encode(request: Request, processor: Processor) -> Prepared:
    (name, items), *_ = request.inputs.items()
    fields = [f"{name}[{index}]" for index in range(len(items))]
    encoded = processor.encode(items, fields, request.options)
    usable = [item for item in encoded if not isinstance(item, InferenceError)]
    return Prepared(
        replace(request, inputs={name: encoded}),
        tuple(1.0 if isinstance(item, InferenceError) else processor.measure(item) for item in encoded),
        sum(processor.estimate_work(item, request.options) for item in usable),
    )
