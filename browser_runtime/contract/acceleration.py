"""The table of acceleration: what makes a model quicker, where it can, its switch, and what it brought.

Routing's priors (`policies/scoring.py`), the plan that a page gets, the reply's warnings, the report and the
documentation are all made of these rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Browser, Family


class Usual(StrEnum):
    """What a request gets that says nothing."""

    ON = "on"
    OFF = "off"
    HARDWARE = "on, but off on software adapters"
    MEASURED = "where it was measured to be quicker"


@dataclass(frozen=True, slots=True)
class Switch:
    """An option of a request, or a setting of a worker, and the value that turns a row off."""

    name: str
    off: object
    is_setting: bool = False

    def __str__(self) -> str:
        return f"{self.name}={self.off}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a row brings, as one run of a command of ours found it."""

    command: str
    finding: str


@dataclass(frozen=True, slots=True)
class Points:
    """The guide's points for a lane that would use a row, by model type."""

    families: tuple[Family, ...]
    points: float
    browser: Browser | None = None
    """None: in every browser."""
    if_asked: bool = True
    """False: whether or not the request names the option."""


@dataclass(frozen=True, slots=True)
class Acceleration:
    """One row."""

    name: str
    summary: str
    switch: Switch
    usual: Usual
    measurement: Measurement
    backends: tuple[Backend, ...] = PAGE_BACKENDS
    rows: tuple[str, ...] = ()
    """Rows of `families.FAMILIES` that have it, by name; none: all."""
    points: Points | None = None

    def __str__(self) -> str:
        return str(self.switch)

    @property
    def option(self) -> str:
        """The request's option that switches it; empty where a setting does."""
        return "" if self.switch.is_setting else self.switch.name

    def wanted(self, options: Mapping[str, object]) -> bool | None:
        """What a request asks for: on, off, or None where it leaves it open."""
        value = options.get(self.option) if self.option else None
        return None if value is None else value != self.switch.off

    def lack(self, rows: Collection[str], backend: Backend) -> str:
        """Why models of those rows cannot have it on `backend`; empty where they can."""
        if self.rows and not set(self.rows) & set(rows):
            return f"only {' and '.join(self.rows)} models have it"
        if backend not in self.backends:
            return f"it needs {' or '.join(self.backends)}, and this ran on {backend}"
        return ""


COMPUTE_SHADERS = Acceleration(
    "compute_shaders",
    "computes the log-mel picture of a sound in a compute shader, on the device where the encoder takes it",
    Switch("compute_shaders", off=False),
    Usual.MEASURED,
    Measurement(
        "webinfer bench acceleration --row compute_shaders",
        "software adapters, ten seconds of sound: 0.59 to 0.82 of transformers.js' time on lavapipe "
        "(Firefox 153.7 ESR, five openings), 2.4 to 2.6 times it on SwiftShader (Chromium 156, two); no "
        "browser on a GPU was measured",
    ),
    backends=(Backend.WEBGPU,),
    rows=("audio", "clap"),
    points=Points((Family.AUDIO,), 40, Browser.FIREFOX),
)
PRECOMPILED_SHADERS = Acceleration(
    "precompile_shaders",
    "compiles a model's shaders while it is loaded, by running a usual item, and not in the first request",
    Switch("precompile_shaders", off=False),
    Usual.HARDWARE,
    Measurement(
        "webinfer bench acceleration --row precompile_shaders",
        "digits-vit on SwiftShader (Chromium 156, beside other work): the first request took 1.3 "
        "s instead of 2.2 s, for 16 s more of loading; a golden check, where a model has one, "
        "compiles most shaders too",
    ),
    backends=(Backend.WEBGPU,),
    points=Points((Family.VISION,), 25),
)
PARALLEL_LOADING = Acceleration(
    "parallel_loading",
    "fetches all graphs of a model at once, while the first is compiled",
    Switch("parallel_loading", off=False),
    Usual.OFF,
    Measurement(
        "webinfer bench acceleration --row parallel_loading",
        "nothing from this machine's own server (Chromium 156): tones-whisper loads in 1.04 s with it, in "
        "1.07 without, digits-clip in 0.40 and 0.38, on SwiftShader in 0.84 and 0.81",
    ),
    rows=("vision", "audio", "clip", "clap", "llava", "text_generation"),
    points=Points((Family.MULTIMODAL,), 30),
)
BUCKETS = Acceleration(
    "buckets",
    "pads batches and texts to a few sizes: graphs of fixed shapes on WebNN, fewer shaders on WebGPU",
    Switch("dynamic_shapes", off=True),
    Usual.ON,
    Measurement(
        "webinfer bench backends --browser edge",
        "Edge's stand-in, MiniLM, a text of 16 tokens: 8.1 ms in its bucket on WebNN; with open "
        "shapes no node is placed on WebNN, and the same takes 9.0 ms in WebAssembly",
    ),
    backends=(Backend.WEBNN, Backend.WEBGPU),
    rows=("text_embedding", "vision", "clip", "clap"),
)
LAYOUT = Acceleration(
    "layout",
    "has WebGPU compute convolutions with channels last (NHWC)",
    Switch("layout", off="NCHW"),
    Usual.OFF,
    Measurement(
        "webinfer bench acceleration --row layout",
        "digits-vit on SwiftShader (Chromium 156): 208 ms with it, 216 without, no more than noise; it has "
        "one convolution",
    ),
    backends=(Backend.WEBGPU,),
)
THREADS = Acceleration(
    "threads",
    "computes one WebAssembly graph on several threads",
    Switch("WEBINFER_WASM_THREADS", off=1, is_setting=True),
    Usual.ON,
    Measurement(
        "webinfer bench overhead",
        "two threads on two processors that also run worker and browser: tiny models take longer "
        "(0.46 to 0.62 ms against 0.38 to 0.49), large ones gain",
    ),
    backends=(Backend.WASM,),
)
WEBNN = Acceleration(
    "webnn",
    "computes on the platform's neural network library instead of in WebAssembly",
    Switch("priority_list", off="wasm"),
    Usual.ON,
    Measurement(
        "webinfer bench backends",
        "Edge's stand-in on the CPU, MiniLM: a text of 16 tokens in 12.1 ms, of 128 in 62.7 ms, "
        "where WebAssembly takes 10.0 and 65.4 ms: it brings nothing there",
    ),
    backends=(Backend.WEBNN,),
    points=Points((Family.TEXT_EMBEDDING, Family.TEXT_GENERATION), 35, if_asked=False),
)
TENSOR_SHARING = Acceleration(
    "tensor_sharing",
    "keeps results of encoders for inputs that come again, and one copy of graphs that several models hold",
    Switch("tensor_sharing", off=False),
    Usual.ON,
    Measurement(
        "webinfer bench sharing",
        "Chromium 156, WebAssembly, inputs that come three times: 1.5 to 3.2 times the requests a second; 51 "
        "and 67 % less weights where models have graphs in common",
    ),
)

ACCELERATIONS = {
    row.name: row
    for row in (
        COMPUTE_SHADERS,
        PRECOMPILED_SHADERS,
        PARALLEL_LOADING,
        BUCKETS,
        LAYOUT,
        THREADS,
        WEBNN,
        TENSOR_SHARING,
    )
}
"""Every row, by name."""

# Of a model that answers many requests.
OPENED_WITHOUT = "the model was opened without it before, and stays so until it is unloaded"
OPENED_WITH = "the model was opened with it before, and stays so until it is unloaded"

FLAGS = ("compute_shaders", "precompile_shaders", "parallel_loading", "tensor_sharing")
"""Options that are hardware preferences too, as in the guide; the others are there to be measured."""


def earned_points(
    family: Family, browser: Browser, backend: Backend | None, flags: Collection[str]
) -> Iterable[tuple[str, float]]:
    """Yields name and points of each row that the guide prefers a lane for, of those that it would use."""
    for row in ACCELERATIONS.values():
        points = row.points
        if (
            points is not None
            and family in points.families
            and points.browser in (None, browser)
            and backend in row.backends
            and (not points.if_asked or row.option in flags)
        ):
            yield row.name, points.points


def plan_loading(options: Mapping[str, object], is_software: bool | None) -> dict[str, bool]:
    """The rows that a page is told of when it opens a model, each on or off.

    The shader of sounds is opened where a request asks for it; without a wish only where it was timed before.
    `is_software`: whether the adapter is; None where the browser hides it.
    """
    usual = {Usual.ON: True, Usual.HARDWARE: is_software is not True}
    rows = (COMPUTE_SHADERS, PRECOMPILED_SHADERS, PARALLEL_LOADING)
    return {
        row.name: usual.get(row.usual, False) if (asked := row.wanted(options)) is None else asked
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class RanAccelerations:
    """What a run had of the table, and why it did without others."""

    names: Collection[str]
    reasons: Mapping[str, str]
    """By name, as the page tells them."""
    backend: Backend

    def explain(self, options: Mapping[str, object], rows: Collection[str]) -> list[str]:
        """A sentence for each row that a request asked for, on or off, and did not get.

        `rows`: the rows of `families.FAMILIES` that answer its model type, by name.
        """
        found = []
        for row in ACCELERATIONS.values():
            asked = row.wanted(options)
            if asked is None or asked is (row.name in self.names):
                continue
            if asked:
                why = self.reasons.get(row.name) or row.lack(rows, self.backend) or OPENED_WITHOUT
                found.append(f"{row.option} was asked for and not done: {why}")
            else:
                found.append(f"{row} was asked for and not done: {OPENED_WITH}")
        return found
