"""The columns of the table of families (`families.FAMILIES`): plain values, no library is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from browser_runtime.contract.option import Option
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Family, Precision

# transformers.js writes 8 bits as `_quantized`; optimum and older exports say `_int8`.
ONNX_SUFFIXES: Mapping[Precision, tuple[str, ...]] = {
    Precision.FP32: ("",),
    Precision.FP16: ("_fp16",),
    Precision.INT8: ("_quantized", "_int8"),
    Precision.Q4: ("_q4",),
}
ONNX_LAYOUT = "onnx/{stem}{suffix}.onnx"
# Since version 5, processors of transformers write what concerns images and sounds into their own file.
PREPROCESSING = {"preprocessor_config.json": "processor_config.json"}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The items of a request, as a module of `tasks/inputs` makes them of what a user gives."""

    batch: str
    """Their name in `Request.inputs`, and the name of that module."""
    item: str
    """The key under which a user may give one item: `{"image": ...}`."""
    is_text: bool = False
    """False for arrays, which may travel beside their message."""
    batch_axes: int | None = None
    """Axes of an array that holds a whole batch; None if no array does."""
    rate_hz: int | None = None
    """Samples a second of a plain sound: an array alone."""
    highest_rate_hz: int | None = None
    """Samples a second up to which a sound keeps its own rate, `{"audio": array, "rate_hz": number}`."""
    may_hold_texts: bool = False
    """True if an item may be texts, or an array with texts beside it: `{"image": ..., "texts": [...]}`."""
    may_be_chats: bool = False
    """True if an item may be a list of messages as well as a text."""
    reader: str = ""
    """The module of `tasks/inputs` that makes the items; empty: that of the batch's name."""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One ONNX graph of a model, under its name in transformers.js' layout."""

    stem: str
    inputs: tuple[str, ...]
    """Inputs that the family feeds; a graph that takes any other is refused."""
    outputs: tuple[str, ...]
    """Outputs by which the graph is recognised: any one of them is enough."""
    suffixes: Mapping[Precision, tuple[str, ...]] = field(default_factory=lambda: ONNX_SUFFIXES, hash=False)
    layout: str = ONNX_LAYOUT
    """Its path in a model's folder, of its stem and a suffix."""

    @property
    def is_onnx(self) -> bool:
        """True for an ONNX file, which onnxruntime runs; False for what an engine of webinfer's own does."""
        return self.layout == ONNX_LAYOUT

    def paths(self, precision: Precision) -> tuple[str, ...]:
        """Paths in a model's folder that hold the graph in `precision`, the preferred one first."""
        suffixes = self.suffixes.get(precision, ())
        return tuple(self.layout.format(stem=self.stem, suffix=suffix) for suffix in suffixes)


@dataclass(frozen=True, slots=True)
class FileSpec:
    """The small files beside the graphs, as paths in a model's folder."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ()
    """Optional ones that are written as `{}` for a model that came without them."""
    instead: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Optional files that may hold what a required one does, by the required one."""
    listing: str = ""
    """An optional JSON file that names further files (`modules.json` of sentence-transformers)."""

    def find_missing(self, paths: Collection[str]) -> list[str]:
        """Required files that are not among `paths`, nor what may hold the same."""
        return [path for path in self.required if not {path, self.instead.get(path, path)} & {*paths}]

    @property
    def known(self) -> tuple[str, ...]:
        """All of them, without what a listing adds."""
        return (*self.required, *self.optional, *((self.listing,) if self.listing else ()))


@dataclass(frozen=True, slots=True)
class Recognition:
    """Signs of the family in a model's config.json, and in the Hub's description where that says nothing."""

    model_types: tuple[str, ...] = ()
    """Values of `model_type`; these are read first, over all families."""
    architectures: tuple[str, ...] = ()
    """Endings of a name in `architectures`."""
    keys: tuple[str, ...] = ()
    """Keys that config.json must have besides."""
    barred: tuple[str, ...] = ()
    """Keys that a config.json with those architectures must not have: signs of models of another kind."""
    pipelines: tuple[str, ...] = ()
    """Pipeline tags of the Hub."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds that a page keeps for one model; they travel in its `load` call."""

    max_batch: int
    """Items computed at once on graphs of free shapes."""
    max_static_graphs: int
    """Graphs of static shapes (WebNN) kept open at once."""
    warm_up_runs: int
    warm_up_ms: int

    def to_wire(self) -> dict[str, int]:
        """Plain values for the page, under its names."""
        return {
            "max_batch": self.max_batch,
            "max_static_graphs": self.max_static_graphs,
            "warm_up_runs": self.warm_up_runs,
            "warm_up_ms": self.warm_up_ms,
        }


@dataclass(frozen=True, slots=True)
class AnswerSpec:
    """The parts of an output that golden checks and comparisons of engines read."""

    word: tuple[str | int, ...] = ()
    """Path of a text that must be equal: ("labels", 0, "label"); empty if an output has none."""
    numbers: str = ""
    """Key of a vector that is compared by its cosine; empty if an output has none."""


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """One row: how models of a family are stored, asked for, run and checked.

    Code that belongs to the family is found by its `name`: `browser_runtime/families/<name>.py` (its
    `Processor`), `browser_runtime/simulation/<name>.py` (its runner), `page/families/<name>.js`; its items by
    the name of `inputs.batch` in `tasks/inputs`. `tests/unit/test_families.py` names what is missing.
    """

    name: str
    model_types: tuple[Family, ...]
    """Values of a request's `model_type` that these models answer, the usual one first."""
    inputs: InputSpec
    graphs: tuple[GraphSpec, ...]
    """The graphs that run a model, all of them needed."""
    files: FileSpec
    recognition: Recognition
    limits: RunLimits
    answer: AnswerSpec
    sizes: str
    """The sizes that inputs of its graphs may have, in words."""
    sample: object = field(hash=False)
    """An item of a usual size for calibration, as a user would give it."""
    options: tuple[Option, ...] = ()
    """Options of its requests, besides `options.COMMON_OPTIONS`."""
    precision: Precision = Precision.FP32
    """The precision of a request that names none."""
    backends: tuple[Backend, ...] = PAGE_BACKENDS
    """Backends that pages have an engine for."""
    other_layouts: tuple[tuple[GraphSpec, ...], ...] = ()
    """Other sets of graphs that run a model as well; in a precision the first that is whole counts."""
    generates: bool = False
    """True if its replies grow token by token: they can be streamed, and several run on a lane at once."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions that its models may come in."""
        return tuple(
            p for p in Precision if any(all(graph.paths(p) for graph in graphs) for graphs in self.layouts)
        )

    @property
    def layouts(self) -> tuple[tuple[GraphSpec, ...], ...]:
        """Every set of graphs that runs a model, the preferred one first."""
        return (self.graphs, *self.other_layouts)

    def __str__(self) -> str:
        return self.name
