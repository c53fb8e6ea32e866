"""The WGSL files of the page as pipelines of a native WebGPU device (wgpu)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import wgpu

SHADERS = Path(__file__).parents[2] / "browser_runtime" / "page" / "kernels" / "wgsl"
PARAM_BYTES = 256
STORAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.COPY_SRC
WANTED_FEATURES = ("shader-f16", "subgroup")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Variant:
    """Which files a product's shader is put together of; as `variantsOf` of the page has them."""

    name: str
    entry: str = "rows"
    dot: str = "packed"
    reduce: str = "workgroup"
    halves: str = "plain"

    def source(self, file: str) -> str:
        """The shader of a file. `enable subgroups;`, which browsers want first, is not known to wgpu 0.32."""
        parts = []
        if file in ("matvec", "matmul"):
            parts = [f"dot_{self.dot}", f"reduce_{self.reduce}", "product"]
        if file in ("matvec", "matmul", "attend"):
            parts.append(f"halves_{self.halves}")
        if file in ("append", "pack"):
            parts.append("to_half")
        enabled = ["enable f16;"] if "halves_f16" in parts else []
        return "\n".join([*enabled, *map(_read, [*parts, file])])


def _read(file: str) -> str:
    return (SHADERS / f"{file}.wgsl").read_text()


@dataclass
class Native:
    """A device, its pipelines and what was recorded for the next submission."""

    adapter: Any
    device: Any
    variant: Variant = field(default_factory=lambda: Variant("rows packed"))
    _pipelines: dict[tuple[str, str, str, str], Any] = field(default_factory=dict)
    _pending: list[tuple[Any, Any, tuple[int, ...]]] = field(default_factory=list)

    @classmethod
    def open(cls) -> Native:
        """The strongest adapter, with every limit it has."""
        adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        if adapter is None:
            raise SystemExit("no Vulkan adapter was found: is libvulkan.so.1 there, and a driver's ICD file?")
        names = ("max-buffer-size", "max-storage-buffer-binding-size")
        device = adapter.request_device_sync(
            required_features=[name for name in WANTED_FEATURES if name in adapter.features],
            required_limits={name: adapter.limits[name] for name in names},
        )
        return cls(adapter, device)

    @property
    def variants(self) -> list[Variant]:
        """What this device may run; a variant that its compiler refuses is told by name."""
        plain = [
            Variant("rows packed"),
            Variant("split packed", entry="split"),
            Variant("rows plain", dot="plain"),
        ]
        if "shader-f16" in self.device.features:
            plain.append(Variant("rows packed f16", halves="f16"))
        if "subgroup" in self.device.features:
            plain.append(Variant("split packed subgroups", entry="split", reduce="subgroups"))
        return plain

    def buffer(self, content: Array | int) -> Any:
        """A storage buffer with these bytes, or so many zeros."""
        if isinstance(content, int):
            return self.device.create_buffer(size=max(16, -(-content // 16) * 16), usage=STORAGE)
        data = np.ascontiguousarray(content).tobytes()
        return self.device.create_buffer_with_data(
            data=data.ljust(max(16, -(-len(data) // 16) * 16), b"\0"), usage=STORAGE
        )

    def record(
        self,
        file: str,
        entry: str,
        constants: Mapping[str, int],
        params: Sequence[int | float],
        buffers: Sequence[Any],
        groups: Sequence[int],
    ) -> None:
        """A dispatch, for the next submission: `params` as words, floats as float32."""
        self._record(self._pipeline(file, entry, constants), params, buffers, groups)

    def record_code(
        self, code: str, params: Sequence[int], buffers: Sequence[Any], groups: Sequence[int]
    ) -> None:
        """A dispatch of the entry `main` of a shader that is no file of the page."""
        stage = {"module": self.device.create_shader_module(code=code), "entry_point": "main"}
        pipeline = self.device.create_compute_pipeline(layout="auto", compute=stage)
        self._record(pipeline, params, buffers, groups)

    def _record(
        self, pipeline: Any, params: Sequence[int | float], buffers: Sequence[Any], groups: Sequence[int]
    ) -> None:
        words = np.zeros(PARAM_BYTES // 4, np.uint32)
        for index, param in enumerate(params):
            words[index] = np.float32(param).view(np.uint32) if isinstance(param, float) else param
        uniform = self.device.create_buffer_with_data(data=words.tobytes(), usage=wgpu.BufferUsage.UNIFORM)
        entries = [
            {"binding": n, "resource": {"buffer": buffer, "offset": 0, "size": buffer.size}}
            for n, buffer in enumerate([uniform, *buffers])
        ]
        group = self.device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
        self._pending.append((pipeline, group, (*groups, 1, 1)[:3]))

    def _pipeline(self, file: str, entry: str, constants: Mapping[str, int]) -> Any:
        key = (file, entry, self.variant.name, repr(sorted(constants.items())))
        if key not in self._pipelines:
            module = self.device.create_shader_module(code=self.variant.source(file), label=file)
            stage = {"module": module, "entry_point": entry, "constants": dict(constants)}
            self._pipelines[key] = self.device.create_compute_pipeline(layout="auto", compute=stage)
        return self._pipelines[key]

    def submit(self, times: int = 1, *, keep: bool = False) -> float:
        """Sends off what was recorded, all of it `times` over, and waits; seconds. `keep`: for once more."""
        encoder = self.device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        for pipeline, group, groups in self._pending * times:
            compute.set_pipeline(pipeline)
            compute.set_bind_group(0, group)
            compute.dispatch_workgroups(*groups)
        compute.end()
        self._pending = self._pending if keep else []
        return self.wait(encoder)

    @cached_property
    def _mark(self) -> Any:
        return self.buffer(16)

    def wait(self, encoder: Any) -> float:
        """Submits; the seconds until all of it is done."""
        started = time.perf_counter()
        self.device.queue.submit([encoder.finish()])
        # wgpu 0.32 cannot wait for a queue (its callback has a wrong type): reading waits for all before it.
        self.device.queue.read_buffer(self._mark, 0, 4)
        return time.perf_counter() - started

    def forget(self) -> None:
        """Drops what was recorded."""
        self._pending = []

    def read(self, buffer: Any, dtype: Any, count: int) -> Array:
        """The first `count` numbers of a buffer."""
        size = np.dtype(dtype).itemsize * count
        data = self.device.queue.read_buffer(buffer, 0, -(-size // 4) * 4)
        return np.frombuffer(data, np.uint8)[:size].view(dtype).copy()
