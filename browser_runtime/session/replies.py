"""Build the reply of one run from what the worker and the page report. Nothing here is assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from browser_runtime.contract.acceleration import COMPUTE_SHADERS, PRECOMPILED_SHADERS, RanAccelerations
from browser_runtime.contract.answers import ItemResult, RunAnswer, read_times_ms
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import BadOutput, FailedAttempt, InferenceError, from_plain
from browser_runtime.contract.families import rows_of
from browser_runtime.contract.messages import LOAD_STEPS, RUN_STEPS, Adapter, Reply, Request, Timings
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.policies.time_limits import TimeLimit
from browser_runtime.session.loading import LoadedModel

GPU_BACKENDS = (Backend.WEBGPU, Backend.WEBNN)
# What a reply tells of the answer to `load`.
LOAD_REPORT = ("placement", "warmup_runs", "warmup_steady", "weight_bytes")


@dataclass(frozen=True, slots=True)
class RunLocation:
    """The place of a run."""

    session: str
    browser: Browser
    build: str
    capabilities: Capabilities
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome of a run on a lane: the page's answers and the worker's own clock, in milliseconds."""

    place: RunLocation
    loaded: LoadedModel
    load_ms: float
    """Duration of loading the model for this run; 0 where it was loaded already."""
    answer: RunAnswer
    """The page's answer to `run`; its results are in the order of the items."""
    fallbacks: tuple[dict[str, str], ...]
    backend_reason: str
    call_ms: float
    """The `run` call alone."""
    total_ms: float
    """With loading."""
    attempts: tuple[FailedAttempt, ...] = ()
    """Backends that failed on the model just now, before the one that ran."""
    limit: TimeLimit | None = None
    """Time limit of the last of its operations."""


@dataclass(frozen=True, slots=True)
class BatchShare:
    """One request's part of a run."""

    results: list[ItemResult]
    """The page's results for this request's items."""
    queue_ms: float
    n_items: int
    """Items of all requests that ran together, this one's included."""
    routing: Mapping[str, object]
    before: Timings = field(default_factory=Timings)
    """Times measured before it waited for a lane."""


@dataclass(frozen=True, slots=True)
class Execution:
    """The computation of a request's outputs, by a page or the simulation."""

    session: str
    browser: Browser
    build: str
    backend: Backend
    adapter: Adapter
    kernel: str
    timings: Timings
    fallbacks: tuple[dict[str, str], ...]
    warnings: list[str]
    routing: Mapping[str, object]
    details: Mapping[str, Any]
    accelerations: tuple[str, ...] = ()
    """Rows of the table of acceleration that it had, by name."""
    not_accelerated: Mapping[str, str] = field(default_factory=dict)
    """Why it did without a row that it was asked for."""
    memory_bytes: int | None = None


def make_reply(request: Request, revision: str, outputs: Sequence[object], execution: Execution) -> Reply:
    """Make the reply of `execution`, an output or an error an item. Raises the error of a single item."""
    if request.single and isinstance(outputs[0], InferenceError):
        raise outputs[0]
    plain = [
        {"error": output.to_plain()} if isinstance(output, InferenceError) else output for output in outputs
    ]
    return Reply(
        success=not any(isinstance(output, InferenceError) for output in outputs),
        model_name=request.model_name,
        model_type=str(request.family),
        output=plain[0] if request.single else plain,
        browser=str(execution.browser),
        browser_build=execution.build,
        platform=str(execution.backend),
        backend=str(execution.backend),
        adapter=execution.adapter,
        precision=str(request.precision),
        kernel=execution.kernel,
        model_revision=revision,
        is_real_hardware=execution.adapter.software is False and execution.backend in GPU_BACKENDS,
        is_simulation=execution.backend is Backend.SIMULATION,
        synthetic_input=request.synthetic,
        compute_shader_optimized=COMPUTE_SHADERS.name in execution.accelerations,
        precompile_shaders=PRECOMPILED_SHADERS.name in execution.accelerations,
        mixed_precision=request.precision is Precision.MIXED,
        memory_usage_mb=None if execution.memory_bytes is None else execution.memory_bytes / 1e6,
        inference_time_ms=execution.timings.compute_ms + execution.timings.readback_ms,
        total_time_ms=execution.timings.total_ms,
        timings=execution.timings,
        fallbacks=execution.fallbacks,
        warnings=_list_warnings(request, execution),
        routing=execution.routing,
        session=execution.session,
        details={**execution.details, "acceleration": list(execution.accelerations)},
    )


def _list_warnings(request: Request, execution: Execution) -> tuple[str, ...]:
    found = list(dict.fromkeys(execution.warnings))
    if request.synthetic:
        found.append("the input was generated from a bare shape")
    found += request.notes
    ran = RanAccelerations(execution.accelerations, execution.not_accelerated, execution.backend)
    found += ran.explain(request.options, [row.name for row in rows_of(request.family)])
    if request.options.get("mixed_precision") and request.precision is not Precision.MIXED:
        found.append(f"mixed_precision was asked for and not done: the weights are in {request.precision}")
    return tuple(found)


def build_reply(request: Request, revision: str, result: RunResult, share: BatchShare) -> Reply:
    """Make the reply to one request of a page's run. Raises the item's error where a single item failed."""
    place, ready, answer = result.place, result.loaded.answer, result.answer
    limit = {} if result.limit is None else {"time_limit": asdict(result.limit)}
    details = {**ready.get("details", {}), **answer.get("details", {})}
    reports: tuple[Mapping[str, Any], ...] = (
        ready,
        answer,
        ready.get("details", {}),
        answer.get("details", {}),
    )
    execution = Execution(
        place.session,
        place.browser,
        place.build,
        result.loaded.backend,
        place.capabilities.adapter(result.loaded.backend),
        str(ready.get("kernel", "")),
        _timings(result, share),
        result.fallbacks,
        [
            *(str(warning) for report in reports for warning in report.get("warnings", ())),
            *(str(result["warning"]) for result in share.results if result.get("warning")),
        ],
        {**share.routing, "backend": result.backend_reason, **limit},
        {
            **details,
            **{name: value for name, value in ready.items() if name in LOAD_REPORT},
            "batch_items": share.n_items,
            "golden": "none" if result.loaded.golden is None else "passed",
        },
        tuple(sorted({*ready.get("acceleration", ()), *answer.get("acceleration", ())})),
        answer.get("not_accelerated", {}),
        place.memory_bytes,
    )
    return make_reply(request, revision, [_read_output(result) for result in share.results], execution)


def find_bad_output(results: Sequence[ItemResult]) -> InferenceError | None:
    """Return the error of the first result that cannot be trusted; None where there is none."""
    for result in results:
        error = result.get("error")
        if error is not None and error["code"] == BadOutput.code():
            return from_plain(error)
    return None


def _read_output(result: ItemResult) -> object:
    return result.get("output") if result.get("ok") is True else from_plain(result.get("error") or {})


def _timings(result: RunResult, share: BatchShare) -> Timings:
    page = result.answer.get("timings", {})
    run = {name: float(page.get(name) or 0.0) for name in RUN_STEPS}
    bridge_ms = max(result.call_ms - sum(run.values()), 0.0)
    load = read_times_ms(result.loaded.answer, LOAD_STEPS) if result.load_ms else {}
    return share.before + Timings(
        queue_ms=share.queue_ms,
        bridge_ms=bridge_ms,
        total_ms=share.queue_ms + result.total_ms,
        **run,
        **load,
    )
