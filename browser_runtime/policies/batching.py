"""Batches the requests that gathered while a lane was busy; no timer, an idle lane never waits.

Source of the rule "never wait on an idle instance": Triton's dynamic batcher with its default delay of zero
(https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/batcher.html).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from browser_runtime.policies.latencies import BatchCost


@dataclass(frozen=True, slots=True)
class Waiting:
    """One waiting request."""

    ticket: int
    """The caller's own number of the request, unique in the queue."""
    key: Hashable
    """Requests go together only where this is equal: model, order of backends, precision, and every option
    that changes the call."""
    arrived_s: float
    """Monotonic; the oldest is served first."""
    lengths: tuple[float, ...] = (1.0,)
    """One number an item: what a batch is padded to (tokens, samples); 1 where all items have one shape."""
    size_bytes: int = 0
    deadline_s: float | None = None
    """Monotonic time by which it must be answered."""

    @property
    def n_items(self) -> int:
        """Items in this request."""
        return len(self.lengths)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """The limits of a batch. A request that is beyond them by itself goes alone."""

    max_items: int = 32
    """Most items of one page call (`limits.max_batch` of the text family's row); 8 where shapes
    are static."""
    max_bytes: int = 32 << 20
    """An eighth of the largest frame (MAX_FRAME_BYTES, browser_runtime/link/frames.py)."""
    max_batch_ms: float = 500.0
    """The longest that the first of a batch may be held up by the others: noticeable, not yet annoying."""
    max_padding: float = 0.25
    """The share of a batch's work that may be spent on padding."""
    max_unmeasured_items: int = 4
    """While the cost of a key is unknown, small batches measure it."""
    costs: Mapping[Hashable, BatchCost] = field(default_factory=dict)
    """Measured cost by key."""


def take_batch(waiting: Sequence[Waiting], policy: BatchPolicy, now: float) -> list[Waiting]:
    """Return the requests that an idle lane runs next, oldest first; none where none is in time.

    The oldest request always goes, so no model starves another. Others with its key follow in order of
    arrival: one whose length or deadline does not go with the batch is passed over, the first beyond a limit
    ends it.
    """
    alive = [request for request in waiting if request.deadline_s is None or request.deadline_s > now]
    if not alive:
        return []
    head, *rest = sorted(alive, key=lambda request: request.arrived_s)
    cost, batch = policy.costs.get(head.key), [head]
    for request in rest:
        if request.key != head.key:
            continue
        grown = [*batch, request]
        if _exceeds_limit(grown, cost, policy):
            break
        if padding_share(grown) <= policy.max_padding and _all_in_time(grown, cost, now):
            batch = grown
    return batch


def _exceeds_limit(batch: Sequence[Waiting], cost: BatchCost | None, policy: BatchPolicy) -> bool:
    n_items = count_items(batch)
    if n_items > policy.max_items or sum(request.size_bytes for request in batch) > policy.max_bytes:
        return True
    if cost is None:
        return n_items > policy.max_unmeasured_items
    return cost.predict_ms(n_items) > policy.max_batch_ms


def _all_in_time(batch: Sequence[Waiting], cost: BatchCost | None, now: float) -> bool:
    """Return whether nobody in it would miss a deadline, as far as the cost is known."""
    deadlines = [request.deadline_s for request in batch if request.deadline_s is not None]
    if cost is None or not deadlines:
        return True
    return now + cost.predict_ms(count_items(batch)) / 1000 <= min(deadlines)


def count_items(requests: Sequence[Waiting]) -> int:
    """Return the number of items of all requests."""
    return sum(request.n_items for request in requests)


def padding_share(requests: Sequence[Waiting]) -> float:
    """The share of the padded batch that is padding: 0 where all items are equally long."""
    lengths = [length for request in requests for length in request.lengths]
    padded = max(lengths, default=0.0) * len(lengths)
    return 1 - sum(lengths) / padded if padded > 0 else 0.0
