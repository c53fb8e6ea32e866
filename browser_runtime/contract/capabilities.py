"""The backends of a page. A backend counts only where a small graph gave the right numbers on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from browser_runtime.contract.answers import BackendProof, FoundAdapter, ProbeAnswer
from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.vocabulary import Backend

# By whether it is a backend of the GPU.
SWITCHED_OFF = {
    True: "backends of the GPU are switched off (enable_gpu, WEBINFER_USE_GPU)",
    False: "backends of the CPU are switched off (enable_cpu, WEBINFER_USE_CPU)",
}


@dataclass(frozen=True, slots=True)
class BackendCapability:
    """One backend of one page."""

    supported: bool
    """The interface is there."""
    proved: bool
    """A small graph ran on it and its numbers were right."""
    reason: str = ""
    """The reason where it is not proved; empty otherwise."""
    adapter: Adapter = field(default_factory=Adapter)
    ms: float = 0.0
    """Duration of the proof."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Features, limits, operators, threads: whatever the page found."""
    permitted: bool = True
    """False: the settings keep it from being used, whatever it can do."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """All backends of one page."""

    backends: dict[Backend, BackendCapability]
    cross_origin_isolated: bool = False
    versions: dict[str, str] = field(default_factory=dict)

    def can(self, backend: Backend) -> bool:
        """Return whether `backend` was proved here and may be used."""
        found = self.backends.get(backend)
        return found is not None and found.proved and found.permitted

    def reason(self, backend: Backend) -> str:
        """Return the reason that keeps `backend` from being used here; empty where none does."""
        found = self.backends.get(backend)
        if found is not None and not found.permitted:
            return SWITCHED_OFF[self.uses_gpu(backend)]
        return "this session has no such backend" if found is None else found.reason

    def uses_gpu(self, backend: Backend) -> bool:
        """Return whether `backend` computes on a GPU: WebGPU does, WebNN where the browser says so."""
        return backend is Backend.WEBGPU or self.adapter(backend).software is False

    def permit(self, *, gpu: bool, cpu: bool) -> Capabilities:
        """The same, with the backends of the GPU or of the CPU switched off where they are not permitted."""
        backends = {
            backend: replace(found, permitted=gpu if self.uses_gpu(backend) else cpu)
            for backend, found in self.backends.items()
        }
        return replace(self, backends=backends)

    def adapter(self, backend: Backend) -> Adapter:
        """The device behind `backend`."""
        found = self.backends.get(backend)
        return Adapter() if found is None else found.adapter

    @classmethod
    def from_probe(cls, probe: ProbeAnswer) -> Capabilities:
        """The capabilities in a page's answer to `probe` (see page/README.md)."""
        found = {
            Backend.WEBGPU: probe.get("webgpu", {}),
            Backend.WEBNN: probe.get("webnn", {}),
            Backend.WASM: probe.get("wasm", {}),
        }
        return cls(
            {backend: _capability(backend, proof) for backend, proof in found.items()},
            bool(probe.get("cross_origin_isolated")),
            dict(probe.get("versions", {})),
        )


def _capability(backend: Backend, found: BackendProof) -> BackendCapability:
    known = {"supported", "proved", "reason", "adapter", "ms"}
    return BackendCapability(
        bool(found.get("supported")),
        bool(found.get("proved")),
        str(found.get("reason") or ""),
        _adapter(backend, found),
        float(found.get("ms") or 0.0),
        {key: value for key, value in found.items() if key not in known},
    )


def _adapter(backend: Backend, found: BackendProof) -> Adapter:
    """The device: WebAssembly is the CPU, which is never an accelerator."""
    if backend is Backend.WASM:
        return Adapter("CPU", software=True)
    adapter: FoundAdapter = found.get("adapter") or {}
    if backend is Backend.WEBNN and not adapter and found.get("proved"):
        device = str(found.get("device_type") or "cpu")
        return Adapter(f"WebNN {device}", software=device == "cpu")
    return Adapter(
        str(adapter.get("name") or ""),
        str(adapter.get("vendor") or ""),
        str(adapter.get("architecture") or ""),
        adapter.get("software"),
    )
