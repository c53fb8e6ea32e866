"""Orders the backends to try, with reasons: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import (
    BackendFault,
    BadOutput,
    InferenceError,
    ModelFault,
    OutOfMemory,
    Unsupported,
)
from browser_runtime.contract.families import rows_of
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family

# The prior by browser: Edge's platform NN library first, then the GPU, then the CPU everywhere.
DEFAULT_ORDER = {
    Browser.EDGE: (Backend.WEBNN, Backend.WEBGPU, Backend.WASM),
    Browser.CHROME: (Backend.WEBGPU, Backend.WASM),
    Browser.FIREFOX: (Backend.WEBGPU, Backend.WASM),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Backends to try in order; those passed over, each with its reason; why this order."""

    backends: tuple[Backend, ...]
    passed_over: tuple[dict[str, str], ...]
    reason: str


def plan_backends(
    asked: tuple[Backend, ...],
    browser: Browser,
    family: Family,
    capabilities: Capabilities,
    barred: Mapping[Backend, str] | None = None,
    measured_ms: Mapping[Backend, float] | None = None,
) -> Plan:
    """The plan for a request. What the caller asked for is obeyed to the letter, never extended.

    `barred`: backends that failed on this very request before, and how. `measured_ms`: what the engine of the
    model was measured to take on each; without a wish the quickest comes first.

    Without a wish, a GPU that is not proved to be hardware goes behind the CPU: software WebGPU was measured
    20 to 100 times slower than WebAssembly (docs/performance.md).
    """
    if asked:
        order, reason = asked, "the request's priority_list"
    else:
        order, reason = _default_order(browser, family, capabilities)
        engines = {backend for row in rows_of(family) for backend in row.backends}
        order = tuple(backend for backend in order if backend in engines)
        if measured_ms and set(order) <= set(measured_ms):
            order = tuple(sorted(order, key=measured_ms.__getitem__))
            reason = "quickest kernels: " + ", ".join(f"{b} {measured_ms[b]:.2f} ms" for b in order)
    barred = barred or {}
    failed = tuple({"backend": str(b), "reason": barred[b]} for b in order if b in barred)
    passed = tuple(
        {"backend": str(backend), "reason": capabilities.reason(backend) or "not proved in this session"}
        for backend in order
        if not capabilities.can(backend)
    )
    able = tuple(backend for backend in order if capabilities.can(backend) and backend not in barred)
    return Plan(able, failed + passed if asked else failed, reason)


# Of several errors the first of these is raised: what the model itself lacks, then what can be done something
# about, then what another browser may do.
DECISIVE = (ModelFault, OutOfMemory, BadOutput, Unsupported, BackendFault)


def nothing_left(
    request: Request,
    capabilities: Capabilities,
    build: str,
    failures: Sequence[tuple[Backend, InferenceError]],
) -> InferenceError:
    """The error where every backend was passed over or could not, with each one's reason."""
    asked = request.backends or tuple(capabilities.backends)
    reasons = {str(backend): capabilities.reason(backend) for backend in asked}
    reasons |= {str(backend): str(error) for backend, error in failures}
    why = "; ".join(f"{backend}: {reason}" for backend, reason in reasons.items() if reason)
    if len(reasons) == len(failures) == 1:
        return failures[0][1]
    found = (kind for kind in DECISIVE if any(isinstance(error, kind) for _, error in failures))
    kind = next(found, Unsupported)
    wanted = f"{request.model_name} on {', '.join(request.backends) or 'any backend'} in {build}"
    if kind is Unsupported:
        return Unsupported(wanted, why)
    if kind is ModelFault:
        return ModelFault(request.model_name, why)
    if kind is BackendFault:
        return BackendFault(", ".join(map(str, dict(failures))), request.model_name, why)
    return kind(f"{wanted}: {why}")


def _default_order(
    browser: Browser, family: Family, capabilities: Capabilities
) -> tuple[tuple[Backend, ...], str]:
    order = DEFAULT_ORDER[browser]
    if capabilities.can(Backend.WEBGPU) and capabilities.adapter(Backend.WEBGPU).software is not False:
        name = capabilities.adapter(Backend.WEBGPU).name or "unnamed adapter"
        order = (*(backend for backend in order if backend is not Backend.WEBGPU), Backend.WEBGPU)
        return order, f"default for {browser} and {family}; webgpu last: {name} is not proved to be hardware"
    return order, f"default for {browser} and {family}"
