"""The graph files of a family, by precision, under transformers.js' names."""

from __future__ import annotations

from collections.abc import Collection

from browser_runtime.contract.vocabulary import Family, Precision

STEMS = {
    Family.TEXT_EMBEDDING: ("model",),
    Family.VISION: ("model",),
    Family.AUDIO: ("encoder_model", "decoder_model_merged"),
}
# transformers.js writes 8 bits as `_quantized`; optimum and older exports say `_int8`.
SUFFIXES = {
    Precision.FP32: ("",),
    Precision.FP16: ("_fp16",),
    Precision.INT8: ("_quantized", "_int8"),
    Precision.Q4: ("_q4",),
}


def graph_paths(family: Family, precision: Precision, paths: Collection[str]) -> tuple[str, ...] | None:
    """The graph files that run `family` in `precision`, in STEMS' order; None where `paths` lacks one."""
    found = []
    for stem in STEMS[family]:
        names = (f"onnx/{stem}{suffix}.onnx" for suffix in SUFFIXES[precision])
        name = next((name for name in names if name in paths), None)
        if name is None:
            return None
        found.append(name)
    return tuple(found)


def data_paths(graph: str, paths: Collection[str]) -> tuple[str, ...]:
    """The external weights of `graph` among `paths`: `model.onnx_data`, `model.onnx_data_1`, ..."""
    return tuple(sorted(path for path in paths if path.startswith((f"{graph}_data", f"{graph}.data"))))


def weight_files(paths: Collection[str]) -> dict[str, list[str]]:
    """The external weights among `paths` by their graph, for the graphs that have any."""
    graphs = (path for path in paths if path.endswith(".onnx"))
    return {graph: list(found) for graph in graphs if (found := data_paths(graph, paths))}


def available_precisions(family: Family, paths: Collection[str]) -> tuple[Precision, ...]:
    """The precisions that every graph of the family is there in."""
    return tuple(precision for precision in Precision if graph_paths(family, precision, paths))
