"""The page's answers to calls, as `page/README.md` has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Required, TypedDict, cast


class FoundAdapter(TypedDict, total=False):
    """The device of a backend, as far as the browser names it."""

    name: str
    vendor: str
    architecture: str
    software: bool | None


class BackendProof(TypedDict, total=False):
    """The probe of one backend; features, limits, operators and threads come as further fields."""

    supported: bool
    proved: bool
    reason: str
    adapter: FoundAdapter
    ms: float
    device_type: str


class ProbeAnswer(TypedDict, total=False):
    """The answer to `probe`."""

    webgpu: BackendProof
    webnn: BackendProof
    wasm: BackendProof
    cross_origin_isolated: bool
    versions: dict[str, str]


class LoadedPart(TypedDict):
    """What a model holds of graphs and weights that may be other models' too."""

    name: str
    """Backend, content hash and how it was opened, with `|` between them."""
    size_bytes: int
    shared: bool
    """True where it was open already."""


class LoadAnswer(TypedDict, total=False):
    """The answer to `load`."""

    backend: str
    kernel: str
    load_ms: float
    compile_ms: float
    warmup_ms: float
    warmup_runs: int
    warmup_steady: bool
    weight_bytes: int
    placement: Mapping[str, object]
    acceleration: Sequence[str]
    """Rows of the table of acceleration that it has, by name."""
    parts: Sequence[LoadedPart]
    warnings: Sequence[str]
    details: Mapping[str, Any]
    sharing: Mapping[str, Any]


def read_times_ms(answer: LoadAnswer, steps: Iterable[str]) -> dict[str, float]:
    """Return the milliseconds of a load by step; 0 for a step that the page did not take."""
    times = cast(Mapping[str, float | None], answer)
    return {step: float(times.get(step) or 0.0) for step in steps}


def is_recalled(answer: RunAnswer) -> bool:
    """True if results of earlier runs were used: its times say little of the model's own."""
    return bool(answer.get("details", {}).get("shared"))


class ItemResult(TypedDict, total=False):
    """The result of one item of a run: its output by family, or its error."""

    ok: Required[bool]
    output: Any
    error: Mapping[str, Any]
    """See `errors.from_plain`."""
    warning: str
    """The worker's doubts about the output; empty where it is as usual."""


class RunAnswer(TypedDict, total=False):
    """The answer to `run`; its results are in the order of the items."""

    results: Required[list[ItemResult]]
    timings: Mapping[str, float | None]
    """Milliseconds by step."""
    warnings: Sequence[str]
    acceleration: Sequence[str]
    """Rows of the table of acceleration that this run had, besides those of its model."""
    not_accelerated: Mapping[str, str]
    """Why it did without a row that it was asked for, by name."""
    details: Mapping[str, Any]
    sharing: Mapping[str, Any]
    """What the models of the lane share now: see `sharing.LaneSharing`."""
