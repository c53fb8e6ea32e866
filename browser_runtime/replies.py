"""Build the reply of one run from what the worker and the page report. Nothing here is assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from browser_runtime.capabilities import Capabilities
from browser_runtime.errors import InferenceError, from_page
from browser_runtime.loading import LoadedModel
from browser_runtime.messages import Reply, Request, Timings
from browser_runtime.vocabulary import Backend, Browser


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run took place."""

    session: str
    browser: Browser
    build: str
    capabilities: Capabilities
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Spent:
    """What the worker measured of one run, in milliseconds."""

    queue_ms: float
    call_ms: float
    total_ms: float
    loaded_now: bool


def build_reply(
    request: Request,
    revision: str,
    place: Place,
    model: LoadedModel,
    answer: dict[str, Any],
    spent: Spent,
    *,
    fallbacks: tuple[dict[str, str], ...],
    routing: dict[str, Any],
) -> Reply:
    """The reply for a `run` answer. Raises the item's error where a single item failed."""
    outputs = [_output(result) for result in answer["results"]]
    if request.single and isinstance(outputs[0], InferenceError):
        raise outputs[0]
    adapter = place.capabilities.adapter(model.backend)
    timings = _timings(answer.get("timings", {}), model, spent)
    ready = model.answer
    return Reply(
        success=not any(isinstance(output, InferenceError) for output in outputs),
        model_name=request.model_name,
        model_type=str(request.family),
        output=outputs[0] if request.single else [_plain(output) for output in outputs],
        browser=str(place.browser),
        browser_build=place.build,
        platform=str(model.backend),
        backend=str(model.backend),
        adapter=adapter,
        precision=str(request.precision),
        kernel=str(ready.get("kernel", "")),
        model_revision=revision,
        is_real_hardware=adapter.software is False and model.backend in (Backend.WEBGPU, Backend.WEBNN),
        synthetic_input=request.synthetic,
        compute_shader_optimized=ready.get("compute_shaders") is True,
        precompile_shaders=ready.get("precompiled") is True,
        memory_usage_mb=None if place.memory_bytes is None else place.memory_bytes / 1e6,
        inference_time_ms=timings.compute_ms + timings.readback_ms,
        total_time_ms=timings.total_ms,
        timings=timings,
        fallbacks=fallbacks,
        warnings=_warnings(request, ready, answer),
        routing=routing,
        session=place.session,
        details={**ready.get("details", {}), **answer.get("details", {}), **_load_report(ready)},
    )


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


def _timings(page: dict[str, Any], model: LoadedModel, spent: Spent) -> Timings:
    run = {name: float(page.get(name) or 0.0) for name in RUN_STEPS}
    load = {name: float(model.answer.get(name) or 0.0) if spent.loaded_now else 0.0 for name in LOAD_STEPS}
    return Timings(
        queue_ms=spent.queue_ms,
        bridge_ms=max(spent.call_ms - sum(run.values()), 0.0),
        total_ms=spent.total_ms,
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
    if request.synthetic:
        told.append("the input was generated from a bare shape")
    asked = {"compute_shaders": "compute_shaders", "precompile_shaders": "precompiled"}
    for flag, done in asked.items():
        if request.options.get(flag) and ready.get(done) is not True:
            told.append(f"{flag} was asked for and not done for this model on this backend")
    if request.options.get("mixed_precision"):
        told.append("mixed_precision was asked for and not done: no mixed-precision model is available")
    return tuple(map(str, told))
