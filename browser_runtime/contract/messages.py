"""The request that a producer sends and the reply that it gets back: plain, frozen, checked on arrival."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import parse_family
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.fields import (
    check_backends,
    check_deadline,
    check_flag,
    check_name,
    check_notes,
)
from browser_runtime.contract.options import SEED, check_options
from browser_runtime.contract.version import installed_version
from browser_runtime.contract.vocabulary import (
    Backend,
    Browser,
    Family,
    Precision,
    parse_browser,
    parse_precision,
    shown,
)

# One number for producer, worker and page; a peer with another one is refused by name.
PROTOCOL = 1


@dataclass(frozen=True, slots=True)
class Request:
    """One inference to run; `inputs` are already plain values and arrays (see `tasks.inputs`).

    inputs by family, always a batch of items; without any, the model is only loaded:
      text_embedding  {"texts": [str, ...]}
      vision          {"images": [uint8 array [height, width, 3], ...]}
      audio           {"sounds": [float32 array [samples] in -1..1, mono, 16 kHz, ...]}, or with a higher rate
                      {"audio": the array, "rate_hz": its samples a second, at most 48000}
    An image or a sound may have texts beside it: {"image" or "audio": the item, "texts": [str, ...]}.
    """

    family: Family
    model_name: str
    inputs: dict[str, list[Any]]
    backends: tuple[Backend, ...] = ()
    """Backends to try in this order; empty: the browser's and family's default order."""
    precision: Precision = Precision.FP32
    browser: Browser | None = None
    """The browser asked for; None: the router's choice."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the family (`top_k`, `max_new_tokens`, ...) and the guide's flags: see `options.list_options`."""
    single: bool = True
    """True: the producer gave one item, so the reply's output is that item's, not a list."""
    synthetic: bool = False
    """True: the producer gave a bare shape and the input was generated."""
    deadline_s: float | None = None
    notes: tuple[str, ...] = ()
    """Remarks on the inputs for the reply's warnings: parts that were left out, or taken on trust."""
    drawn_seed: int | None = None
    """The seed that the producer drew, since the model may generate text and the request names none."""
    protocol: int = PROTOCOL

    def to_wire(self) -> dict[str, object]:
        """Plain values and arrays, for any codec; `from_wire` is the inverse."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        if self.drawn_seed is None:
            del plain["drawn_seed"]
        return plain | {
            "family": str(self.family),
            "backends": [str(backend) for backend in self.backends],
            "precision": str(self.precision),
            "browser": None if self.browser is None else str(self.browser),
            "notes": list(self.notes),
        }

    def seeded(self, row: FamilySpec) -> Request:
        """The same request, with the drawn seed among its options if models of `row` draw by chance."""
        if not row.generates or self.drawn_seed is None:
            return self
        return replace(self, options={SEED: self.drawn_seed, **self.options})

    @classmethod
    def from_wire(cls, wire: Any) -> Request:
        """The request in `wire`, which anybody may have made by hand: every field is checked but the items.

        Raises BadInput naming the first field that is wrong. What the items are, is `tasks.inputs.arrival`'s.
        """
        _check_names(wire, cls)
        family, browser = parse_family(wire.get("family")), wire.get("browser")
        return cls(
            family=family,
            model_name=check_name(wire.get("model_name")),
            inputs=_check_inputs(wire.get("inputs")),
            backends=check_backends(wire.get("backends", ()), "backends"),
            precision=parse_precision(wire.get("precision", "fp32")),
            browser=None if browser is None else parse_browser(browser),
            options=check_options(wire.get("options"), family),
            single=check_flag(wire.get("single", True), "single"),
            synthetic=check_flag(wire.get("synthetic", False), "synthetic"),
            deadline_s=check_deadline(wire.get("deadline_s")),
            notes=check_notes(wire.get("notes", ())),
            drawn_seed=_check_seed(wire.get("drawn_seed"), family),
        )


def _check_names(wire: Any, kind: type[Request]) -> None:
    """Raises BadInput for what is no dict of a request's fields, or another protocol's."""
    if not isinstance(wire, dict):
        raise BadInput("request", shown(wire), "a dict of a request's fields")
    known = {item.name for item in fields(kind)}
    for name in wire:
        if name not in known:
            here = f"webinfer {installed_version()}".strip()
            raise BadInput(
                "request",
                f"holding the field {shown(name)}, which {here} does not know",
                "made of its fields; if the producer's version is newer, update the worker",
            )
    if type(wire.get("protocol")) is not int or wire["protocol"] != PROTOCOL:
        raise BadInput("protocol", shown(wire.get("protocol")), f"{PROTOCOL}; update producer and worker")


def _check_seed(seed: object, family: Family) -> int | None:
    """What the option of that name may be. Raises BadInput."""
    found = check_options({SEED: seed}, family).get(SEED) if seed is not None else None
    return found if isinstance(found, int) else None


def _check_inputs(inputs: Any) -> dict[str, list[Any]]:
    if not isinstance(inputs, dict):
        raise BadInput("inputs", shown(inputs), "a plain batch; send with tasks.infer")
    return inputs


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of a request by step; zero where the step did not happen for it."""

    broker_ms: float = 0.0
    """From the producer's sending to the worker's receipt, by the clocks of both."""
    queue_ms: float = 0.0
    """Waiting for a session, in the worker."""
    load_ms: float = 0.0
    """Fetching model files into the page."""
    compile_ms: float = 0.0
    """Creating the engine's session or graph."""
    warmup_ms: float = 0.0
    """Running until steady state, before the model is ready."""
    preprocess_ms: float = 0.0
    compute_ms: float = 0.0
    readback_ms: float = 0.0
    postprocess_ms: float = 0.0
    bridge_ms: float = 0.0
    """Round trip to the page less what the page itself measured."""
    total_ms: float = 0.0
    """From the worker's receipt of the request to its reply."""

    def __add__(self, other: Timings) -> Timings:
        """The sum of each step: of parts of a request's way that follow each other."""
        return Timings(
            **{step.name: getattr(self, step.name) + getattr(other, step.name) for step in fields(self)}
        )


# The steps that a page measures, named as in its answers: of opening a model, and of a run.
LOAD_STEPS = ("load_ms", "compile_ms", "warmup_ms")
RUN_STEPS = ("preprocess_ms", "compute_ms", "readback_ms", "postprocess_ms")


@dataclass(frozen=True, slots=True)
class Adapter:
    """The device that computed. `software` is None where the browser hides what it is."""

    name: str = ""
    vendor: str = ""
    architecture: str = ""
    software: bool | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Outputs of a request and a record of what ran. Flags are true only when the thing really happened."""

    success: bool
    model_name: str
    model_type: str
    output: Any
    """One item's output, or a list of them: see each family in `page/families`."""
    browser: str
    browser_build: str
    """Product and version that really ran, and what it stands in for."""
    platform: str
    """The backend that computed (the guide's name for it): webgpu, webnn, wasm, simulation."""
    backend: str
    adapter: Adapter
    precision: str
    kernel: str = ""
    """Engine and its version, with the compute kernels where they are ours."""
    model_revision: str = ""
    is_real_hardware: bool = False
    """True only when a hardware GPU or NPU computed, not a software adapter and not the CPU."""
    is_simulation: bool = False
    synthetic_input: bool = False
    compute_shader_optimized: bool = False
    precompile_shaders: bool = False
    mixed_precision: bool = False
    memory_usage_mb: float | None = None
    """Proportional memory (PSS) of the session's process tree; None where it cannot be read."""
    inference_time_ms: float = 0.0
    total_time_ms: float = 0.0
    timings: Timings = field(default_factory=Timings)
    fallbacks: tuple[dict[str, str], ...] = ()
    """Each backend that was asked for first and could not, with its reason."""
    warnings: tuple[str, ...] = ()
    routing: Mapping[str, Any] = field(default_factory=dict)
    """Reasons for the choice of queue, session and backend."""
    session: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The page's report on the run: shape bucket, node placement, warm-up runs."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values and arrays, under the guide's key names; the output itself, not a copy of it."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        return plain | {"adapter": asdict(self.adapter), "timings": asdict(self.timings)}

    def with_times(self, **times: float) -> Reply:
        """The same reply with some timings replaced; total_time_ms follows."""
        timings = replace(self.timings, **times)
        return replace(self, timings=timings, total_time_ms=timings.total_ms)
