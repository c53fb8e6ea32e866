"""Settings of the browser runtime, from `WEBINFER_*` environment variables; read only at entry points."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from browser_runtime.contract.setup.additions import check_arguments, check_preferences
from browser_runtime.contract.setup.environment import (
    BadCombination,
    FilePath,
    FolderPath,
    Seconds,
    Settings,
    xdg_folder,
)

# Its home is closed to the user as whom its browsers run.
ROOT_CACHE = Path("/var/cache/webinfer")


def _cache_folder() -> Path:
    if os.geteuid() == 0 and not Path(os.environ.get("XDG_CACHE_HOME", "")).is_absolute():
        return ROOT_CACHE
    return xdg_folder("XDG_CACHE_HOME", ".cache")


class RuntimeSettings(Settings):
    """Settings of browsers: finding, starting, using. Every field is `WEBINFER_<FIELD>` in upper case."""

    firefox_binary: FilePath | None = Field(
        default=None, description="path of Firefox; default: found on this machine"
    )
    firefox_driver: FilePath | None = Field(default=None, description="path of geckodriver; default: found")
    chrome_binary: FilePath | None = Field(
        default=None, description="path of Chrome or Chromium; default: found"
    )
    chrome_driver: FilePath | None = Field(default=None, description="path of chromedriver; default: found")
    edge_binary: FilePath | None = Field(
        default=None, description="path of Microsoft Edge, or of its stand-in"
    )
    edge_driver: FilePath | None = Field(
        default=None, description="path of msedgedriver (of chromedriver for a stand-in)"
    )
    chromium_arguments: Annotated[str, AfterValidator(check_arguments)] = Field(
        default="",
        description="command-line arguments for Chrome and Edge beside webinfer's own; replies name them "
        "with the build",
    )
    firefox_preferences: Annotated[str, AfterValidator(check_preferences)] = Field(
        default="",
        description="preferences for Firefox beside webinfer's own, as NAME=VALUE; replies name them with "
        "the build",
    )
    headless: bool = Field(default=True, description="run browsers without a window")
    use_gpu: bool = Field(
        default=True, description="allow WebGPU, and WebNN if the browser reports it as accelerated"
    )
    use_cpu: bool = Field(default=True, description="allow WebAssembly, and WebNN on the CPU")
    simulation: Literal["never", "fallback", "always"] = Field(
        default="fallback",
        description="use Python's onnxruntime instead of a browser: never, only if none is available, always",
    )
    private_network: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="whether a pool's browsers and drivers get a network that no other user reaches: if the "
        "machine allows it, always, or never",
    )
    browser_user: str | None = Field(
        default=None,
        min_length=1,
        description="user as whom browsers run if the worker is root; default: webinfer, else nobody",
    )
    models_dir: FolderPath = Field(
        default_factory=lambda: xdg_folder("XDG_DATA_HOME", ".local/share") / "models",
        description="folder of pulled and imported models",
    )
    cache_dir: FolderPath = Field(
        default_factory=_cache_folder,
        description="folder of unpacked browsers and other files that can be created again",
    )
    # One is left for everything else: with a thread a processor Redis, the worker and the browser's own
    # processes waited for them, and several lanes for each other (docs/performance.md).
    wasm_threads: int = Field(
        default_factory=lambda: min(max((os.cpu_count() or 1) - 1, 1), 4),
        ge=1,
        le=64,
        description="WebAssembly threads per lane; default: the processors less one, at most 4",
    )
    launch_timeout_s: Seconds = Field(
        default=60.0, description="seconds in which a browser must start and its lanes answer"
    )
    load_timeout_s: Seconds = Field(
        default=300.0, description="seconds in which a model must be loaded and ready"
    )
    run_timeout_s: Seconds = Field(
        default=120.0, description="seconds for one run, if the request has no deadline"
    )
    queue_timeout_s: Seconds = Field(default=60.0, description="seconds to wait for a free lane before Busy")
    max_waiting: int = Field(
        default=512,
        ge=1,
        le=1_000_000,
        description="the most requests waiting in one pool; further ones get Busy",
    )
    max_loaded_models: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="the most models loaded in a lane; the least recently used is unloaded",
    )
    max_loaded_mb: int = Field(
        default=2048,
        ge=1,
        le=1 << 30,
        description="the most megabytes of weights in a lane; the least recently used model is unloaded",
    )
    kv_cache_mb: int = Field(
        default=512,
        ge=1,
        le=1 << 30,
        description="the most megabytes of keys and values of a language model in a lane; it takes as many "
        "prompts at once as fit, one at least",
    )
    tensor_sharing: bool = Field(
        default=True,
        description="let the models of a lane share graphs, weights and results of encoders",
    )
    shared_results_mb: int = Field(
        default=64,
        ge=0,
        le=1 << 20,
        description="the most megabytes of encoders' results that a lane keeps; 0: none",
    )
    beat_interval_s: float = Field(
        default=1.0, ge=0.05, le=60, description="seconds between two signs of life of a lane"
    )
    adaptive_scaling: bool = Field(
        default=False, description="start and stop sessions of a pool with its load, between the bounds"
    )
    min_sessions: int = Field(
        default=1, ge=1, le=8, description="least number of sessions of an adaptive pool"
    )
    max_sessions: int = Field(
        default=8, ge=1, le=8, description="greatest number of sessions of an adaptive pool"
    )
    recycle_after_runs: int = Field(
        default=5000, ge=1, le=1_000_000_000, description="number of runs after which a session is replaced"
    )
    recycle_above_mb: int = Field(
        default=3072,
        ge=64,
        le=1 << 30,
        description="megabytes of memory (PSS) above which a session is replaced",
    )

    @property
    def result_bytes(self) -> int:
        """Bytes of encoders' results that a lane may keep."""
        return self.shared_results_mb * 1_000_000 if self.tensor_sharing else 0

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
