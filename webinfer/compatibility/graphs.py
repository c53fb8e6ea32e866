"""ONNX graphs by family: files, precisions, outputs; weights that are exported."""

from __future__ import annotations

from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.family_spec import ONNX_SUFFIXES, FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.intake.export_bert import ACTIVATIONS
from browser_runtime.models.intake.graph_check import MAX_IR_VERSION, MAX_OPSET
from browser_runtime.models.intake.importing import PICKLES
from browser_runtime.simulation.feeds import DTYPES, TEXT_INPUTS
from webinfer.compatibility.markdown import code, paragraph, section, table


def describe_graphs() -> str:
    """The section."""
    types = [name.removeprefix("tensor(").removesuffix(")") for name in DTYPES]
    return section(
        "Models: graphs and files",
        paragraph(
            """In transformers.js' layout, in a folder on this machine or a repository of the Hugging Face
            Hub. Graphs may keep weights in other files of any name beside them."""
        ),
        paragraph(
            f"""A graph may have IR version {MAX_IR_VERSION} and opset {MAX_OPSET} at most. Its inputs are
            given in the types that it declares, of {code(types)}. A text graph may take {code(TEXT_INPUTS)},
            each or not; a batch or sequence of one size is met, texts being padded or cut to it. Each
            precision is run once in Python's onnxruntime when a model is imported or pulled, with bounds on
            time and memory, and refused where it cannot run."""
        ),
        table(
            ("family", "graphs in `onnx/`", "their outputs", "other files needed"),
            map(_row, FAMILIES.values()),
        ),
        table(
            ("precision", "a graph's file is called"),
            [
                (f"`{precision}`", code(f"<graph>{suffix}.onnx" for suffix in ONNX_SUFFIXES[precision]))
                for precision in Precision
            ],
        ),
        paragraph(
            f"""A graph's IR version is at most {MAX_IR_VERSION} and its opset at most {MAX_OPSET}: what the
            onnxruntime-web that pages load knows. Its operators are those of onnxruntime, `com.microsoft`
            included; each model runs once in Python's onnxruntime before it is stored."""
        ),
        table(
            ("family", "inputs of a graph that are known", "sizes"),
            map(_inputs_row, FAMILIES.values()),
        ),
        paragraph(
            f"""Inputs come in any of {code(name[len("tensor(") : -1] for name in DTYPES)}. One of another
            name or type is refused by its name, and so is a sequence of one length without
            `attention_mask`, where padding could not be told from text."""
        ),
        paragraph(
            f"""A folder of safetensors is exported where it is a BERT with {code(ACTIVATIONS)}. Weights in
            pickles are never opened: {code(PICKLES)}."""
        ),
    )


def _row(family: FamilySpec) -> tuple[str, str, str, str]:
    outputs = [
        f"`{graph.stem}`: {' or '.join(f'`{name}`' for name in graph.outputs)}" for graph in family.graphs
    ]
    stems = code(graph.stem for graph in family.graphs)
    return f"`{family}`", stems, "; ".join(outputs), code(family.files.required)


def _inputs_row(family: FamilySpec) -> tuple[str, str, str]:
    return f"`{family}`", "; ".join(code(graph.inputs) for graph in family.graphs), family.sizes
