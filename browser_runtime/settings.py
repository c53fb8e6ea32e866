"""Settings of the browser runtime, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

import os
from typing import Literal, Self

from pydantic import Field, model_validator

from browser_runtime.contract.setup.environment import (
    BadCombination,
    FilePath,
    FolderPath,
    Seconds,
    Settings,
    xdg_folder,
)


class RuntimeSettings(Settings):
    """Settings of browsers: finding, starting, using. Every field is `WEBINFER_<FIELD>` in upper case."""

    firefox_binary: FilePath | None = Field(
        default=None, description="Firefox to run; default: found on this machine"
    )
    firefox_driver: FilePath | None = Field(default=None, description="geckodriver to run; default: found")
    chrome_binary: FilePath | None = Field(
        default=None, description="Chrome or Chromium to run; default: found"
    )
    chrome_driver: FilePath | None = Field(default=None, description="chromedriver to run; default: found")
    edge_binary: FilePath | None = Field(default=None, description="Microsoft Edge, or what stands in for it")
    edge_driver: FilePath | None = Field(
        default=None, description="msedgedriver (or chromedriver for a stand-in)"
    )
    headless: bool = Field(default=True, description="run browsers without a window")
    use_gpu: bool = Field(
        default=True, description="allow WebGPU, and WebNN where the browser says that it is accelerated"
    )
    use_cpu: bool = Field(default=True, description="allow WebAssembly, and WebNN that computes on the CPU")
    simulation: Literal["never", "fallback", "always"] = Field(
        default="fallback",
        description="Python's onnxruntime instead of a browser: never, only where none can be had, always",
    )
    models_dir: FolderPath = Field(
        default_factory=lambda: xdg_folder("XDG_DATA_HOME", ".local/share") / "models",
        description="where pulled and imported models live",
    )
    cache_dir: FolderPath = Field(
        default_factory=lambda: xdg_folder("XDG_CACHE_HOME", ".cache"),
        description="unpacked browsers and other things that can be made again",
    )
    # One is left for everything else: with a thread a processor Redis, the worker and the browser's own
    # processes waited for them, and several lanes for each other (docs/performance.md).
    wasm_threads: int = Field(
        default_factory=lambda: min(max((os.cpu_count() or 1) - 1, 1), 4),
        ge=1,
        le=64,
        description="WebAssembly threads of a lane; default: the processors less one, at most 4",
    )
    launch_timeout_s: Seconds = Field(default=60.0, description="starting a browser until its lanes answer")
    load_timeout_s: Seconds = Field(default=300.0, description="loading a model until it is ready")
    run_timeout_s: Seconds = Field(default=120.0, description="one run, where the request gives no deadline")
    queue_timeout_s: Seconds = Field(default=60.0, description="waiting for a free lane before Busy")
    max_waiting: int = Field(
        default=512, ge=1, le=1_000_000, description="requests waiting in one pool before Busy"
    )
    max_loaded_models: int = Field(
        default=4, ge=1, le=1000, description="models a lane keeps loaded; the least recently used goes"
    )
    max_loaded_mb: int = Field(
        default=2048,
        ge=1,
        le=1 << 30,
        description="weights a lane keeps loaded; the least recently used model goes",
    )
    beat_interval_s: float = Field(
        default=1.0, ge=0.05, le=60, description="how often a lane says that it is alive"
    )
    adaptive_scaling: bool = Field(
        default=False, description="a pool grows and shrinks by itself between its bounds"
    )
    min_sessions: int = Field(default=1, ge=1, le=8, description="the fewest sessions of an adaptive pool")
    max_sessions: int = Field(default=8, ge=1, le=8, description="the most sessions of an adaptive pool")
    recycle_after_runs: int = Field(
        default=5000, ge=1, le=1_000_000_000, description="a session is replaced after so many runs"
    )
    recycle_above_mb: int = Field(
        default=3072,
        ge=64,
        le=1 << 30,
        description="a session is replaced when it holds more memory (PSS) than this",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not (self.use_gpu or self.use_cpu):
            raise BadCombination(
                "use_cpu", False, "true where WEBINFER_USE_GPU is false: nothing could compute"
            )
        if self.min_sessions > self.max_sessions:
            allowed = f"at most WEBINFER_MAX_SESSIONS, which is {self.max_sessions}"
            raise BadCombination("min_sessions", self.min_sessions, allowed)
        return self
