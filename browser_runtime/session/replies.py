"""Build the reply of one run from what the worker and the page report. Nothing here is assumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import InferenceError, from_page
from browser_runtime.contract.messages import Reply, Request, Timings
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.policies.time_limits import TimeLimit
from browser_runtime.session.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class RunLocation:
    """Where a run took place."""

    session: str
    browser: Browser
    build: str
    capabilities: Capabilities
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run on a lane came to: the page's answers and the worker's own clock, in milliseconds."""

    place: RunLocation
    loaded: LoadedModel
    load_ms: float
    """What loading the model for this run took; 0 where it was loaded already."""
    answer: dict[str, Any]
    """The page's answer to `run`; its results are in the order of the items."""
    fallbacks: tuple[dict[str, str], ...]
    backend_reason: str
    call_ms: float
    """The `run` call alone."""
    total_ms: float
    """With loading."""
    limit: TimeLimit | None = None
    """What the last of its operations might have taken."""


@dataclass(frozen=True, slots=True)
class BatchShare:
    """One request's part of a run."""

    results: list[dict[str, Any]]
    """The page's results for this request's items."""
    queue_ms: float
    n_items: int
    """Items of all requests that ran together, this one's included."""
    routing: dict[str, Any]
    prepared_ms: float = 0.0
    """What preparing its items took before it waited."""


def build_reply(request: Request, revision: str, result: RunResult, share: BatchShare) -> Reply:
    """The reply to one request of a run. Raises the item's error where a single item failed."""
    outputs = [_output(result) for result in share.results]
    if request.single and isinstance(outputs[0], InferenceError):
        raise outputs[0]
    place, ready, backend = result.place, result.loaded.answer, result.loaded.backend
    adapter = place.capabilities.adapter(backend)
    timings = _timings(result, share)
    return Reply(
        success=not any(isinstance(output, InferenceError) for output in outputs),
        model_name=request.model_name,
        model_type=str(request.family),
        output=outputs[0] if request.single else [_plain(output) for output in outputs],
        browser=str(place.browser),
        browser_build=place.build,
        platform=str(backend),
        backend=str(backend),
        adapter=adapter,
        precision=str(request.precision),
        kernel=str(ready.get("kernel", "")),
        model_revision=revision,
        is_real_hardware=adapter.software is False and backend in (Backend.WEBGPU, Backend.WEBNN),
        synthetic_input=request.synthetic,
        compute_shader_optimized=ready.get("compute_shaders") is True,
        precompile_shaders=ready.get("precompiled") is True,
        memory_usage_mb=None if place.memory_bytes is None else place.memory_bytes / 1e6,
        inference_time_ms=timings.compute_ms + timings.readback_ms,
        total_time_ms=timings.total_ms,
        timings=timings,
        fallbacks=result.fallbacks,
        warnings=_warnings(request, ready, result.answer),
        routing={**share.routing, "backend": result.backend_reason, **_time_limit(result)},
        session=place.session,
        details={
            **ready.get("details", {}),
            **result.answer.get("details", {}),
            **_load_report(ready),
            "batch_items": share.n_items,
            "golden": "none" if result.loaded.golden is None else "passed",
        },
    )


def _time_limit(result: RunResult) -> dict[str, Any]:
    return {} if result.limit is None else {"time_limit": asdict(result.limit)}


def _output(result: dict[str, Any]) -> Any:
    if result.get("ok") is True:
        return result.get("output")
    error = result.get("error") or {}
    return from_page(
        str(error.get("code")), [str(a) for a in error.get("args", [])], str(error.get("stack", ""))
    )


def _plain(output: Any) -> Any:
    """An item's output, or its error as plain values: one bad item fails alone."""
    if isinstance(output, InferenceError):
        return {"error": {"code": output.code(), "args": list(output.args), "message": str(output)}}
    return output


def _timings(result: RunResult, share: BatchShare) -> Timings:
    page = result.answer.get("timings", {})
    run = {name: float(page.get(name) or 0.0) for name in RUN_STEPS}
    bridge_ms = max(result.call_ms - sum(run.values()), 0.0)
    run["preprocess_ms"] += share.prepared_ms
    load = {
        name: float(result.loaded.answer.get(name) or 0.0) if result.load_ms else 0.0 for name in LOAD_STEPS
    }
    return Timings(
        queue_ms=share.queue_ms,
        bridge_ms=bridge_ms,
        total_ms=share.queue_ms + share.prepared_ms + result.total_ms,
        **run,
        **load,
    )


RUN_STEPS = ("preprocess_ms", "compute_ms", "readback_ms", "postprocess_ms")
LOAD_STEPS = ("load_ms", "compile_ms", "warmup_ms")


def _load_report(ready: dict[str, Any]) -> dict[str, Any]:
    names = ("placement", "warmup_runs", "warmup_steady", "weight_bytes")
    return {name: ready[name] for name in names if name in ready}


def _warnings(request: Request, ready: dict[str, Any], answer: dict[str, Any]) -> tuple[str, ...]:
    told = [*ready.get("warnings", []), *answer.get("warnings", [])]
    for details in (ready.get("details", {}), answer.get("details", {})):
        told += details.get("warnings", [])
    told = list(dict.fromkeys(told))
    if request.synthetic:
        told.append("the input was generated from a bare shape")
    told += request.notes
    asked = {"compute_shaders": "compute_shaders", "precompile_shaders": "precompiled"}
    for flag, done in asked.items():
        if request.options.get(flag) and ready.get(done) is not True:
            told.append(f"{flag} was asked for and not done for this model on this backend")
    if request.options.get("mixed_precision"):
        told.append("mixed_precision was asked for and not done: no mixed-precision model is available")
    return tuple(map(str, told))
