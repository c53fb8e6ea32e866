"""Which backends to try, in which order, and why: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import Unsupported
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
    asked: tuple[Backend, ...], browser: Browser, family: Family, capabilities: Capabilities
) -> Plan:
    """The plan for a request. What the caller asked for is obeyed to the letter, never extended.

    Without a wish, a GPU that is not proved to be hardware goes behind the CPU: software WebGPU was measured
    20 to 100 times slower than WebAssembly (docs/performance.md).
    """
    if asked:
        order, reason = asked, "the request's priority_list"
    else:
        order, reason = _default_order(browser, family, capabilities)
    passed = tuple(
        {"backend": str(backend), "reason": capabilities.reason(backend) or "not proved in this session"}
        for backend in order
        if not capabilities.can(backend)
    )
    able = tuple(backend for backend in order if capabilities.can(backend))
    return Plan(able, passed if asked else (), reason)


def nothing_left(
    request: Request, capabilities: Capabilities, build: str, fallbacks: Sequence[dict[str, str]]
) -> Unsupported:
    """The error where every backend was passed over or refused the model, with each one's reason."""
    asked = request.backends or tuple(capabilities.backends)
    told = {str(backend): capabilities.reason(backend) for backend in asked}
    told |= {fallback["backend"]: fallback["reason"] for fallback in fallbacks}
    wanted = ", ".join(request.backends) or "any backend"
    why = "; ".join(f"{backend}: {reason}" for backend, reason in told.items())
    return Unsupported(f"{request.model_name} on {wanted} in {build}", why)


def _default_order(
    browser: Browser, family: Family, capabilities: Capabilities
) -> tuple[tuple[Backend, ...], str]:
    order = DEFAULT_ORDER[browser]
    if capabilities.can(Backend.WEBGPU) and capabilities.adapter(Backend.WEBGPU).software is not False:
        name = capabilities.adapter(Backend.WEBGPU).name or "unnamed adapter"
        order = (*(backend for backend in order if backend is not Backend.WEBGPU), Backend.WEBGPU)
        return order, f"default for {browser} and {family}; webgpu last: {name} is not proved to be hardware"
    return order, f"default for {browser} and {family}"
