"""ONNX graphs by family: files, precisions, outputs; weights that are exported."""

from __future__ import annotations

from itertools import starmap

from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.family_spec import ONNX_SUFFIXES, FamilySpec, GraphSpec
from browser_runtime.models.intake.encoder_graph import ACTIVATIONS
from browser_runtime.models.intake.encoder_names import BERT_TYPES, VIT
from browser_runtime.models.intake.graph_check import MAX_IR_VERSION, MAX_OPSET
from browser_runtime.models.intake.importing import PICKLES
from browser_runtime.simulation.feeds import DTYPES, TEXT_INPUTS
from webinfer.compatibility.markdown import code, paragraph, section, table

# The others hold packed weights, which run on kernels of webinfer's own.
ONNX_LAYOUTS = [
    (row, graphs)
    for row in FAMILIES.values()
    for graphs in row.layouts
    if all(graph.is_onnx for graph in graphs)
]


# Types of models whose answers tests hold to transformers' own.
TESTED = {
    "text_embedding": ("bert", "distilbert", "modernbert", "mpnet", "roberta", "xlm-roberta"),
    "vision": ("convnext", "dinov2", "efficientnet", "swin", "vit"),
    "audio": ("whisper",),
    "text_generation": ("llama", "qwen2"),
    "clip": ("clip", "siglip"),
    "clap": ("clap",),
    "llava": ("idefics3", "llava", "smolvlm"),
}


def describe_graphs() -> str:
    """The section as Markdown."""
    types = [name.removeprefix("tensor(").removesuffix(")") for name in DTYPES]
    return section(
        "Models: graphs and files",
        paragraph(
            """Models have the layout of transformers.js, in a folder on this machine or a repository of the
            Hugging Face Hub. Graphs may keep weights in other files, with any name."""
        ),
        paragraph(
            f"""A graph may have IR version {MAX_IR_VERSION} and opset {MAX_OPSET} at most. It gets its inputs
            in the types that it declares, of {code(types)}. A text graph may take any of {code(TEXT_INPUTS)};
            for a fixed batch size or sequence length, texts are padded or cut. When a model is imported or
            pulled, each precision is run once in Python's onnxruntime, with limits on time and memory, and
            refused if it cannot run."""
        ),
        table(
            ("family", "graphs in `onnx/`", "their outputs", "other files needed"),
            starmap(_row, ONNX_LAYOUTS),
        ),
        table(
            ("family", "type, or end of architecture", "types held to transformers' answers"),
            [
                (f"`{row.name}`", code(_signs(row)), code(TESTED.get(row.name, ())))
                for row in FAMILIES.values()
            ],
        ),
        paragraph(
            """Other types of the same architectures run too where their graphs have the inputs and outputs of
            this page; what has not, and every other architecture, is refused in a sentence with its type.
            Distil-Whisper has Whisper's type and graphs; Moonshine and wav2vec2 are not served."""
        ),
        table(
            ("precision", "file name of a graph"),
            [
                (f"`{precision}`", code(f"<graph>{suffix}.onnx" for suffix in ONNX_SUFFIXES[precision]))
                for precision in ONNX_SUFFIXES
            ],
        ),
        paragraph(
            f"""In `8bit` a text encoder of type {code(BERT_TYPES)} and an image classifier of type `{VIT}`
            are no graph but `8bit/low_bits_encoder.json` and its shards
            ([models](models.md#encoders-in-8-bits))."""
        ),
        paragraph(
            f"""IR version {MAX_IR_VERSION} and opset {MAX_OPSET} are the highest that the onnxruntime-web of
            the pages supports. Operators are those of onnxruntime, including `com.microsoft`."""
        ),
        table(
            ("family", "supported inputs of a graph", "sizes"),
            starmap(_inputs_row, ONNX_LAYOUTS),
        ),
        paragraph(
            """Where `preprocessor_config.json` is needed, `processor_config.json` may hold the same instead,
            under `image_processor` or `feature_extractor`, as processors of transformers 5 write it. If both
            are there, the latter counts, as in transformers."""
        ),
        paragraph(
            f"""Inputs may have the types {code(types)}. An input of another name or type is refused, and so
            is a fixed sequence length without `attention_mask`, where padding could not be told from text."""
        ),
        paragraph(
            f"""A folder of safetensors is exported if it is a text encoder of type {code(BERT_TYPES)}, or an
            image classifier of type `{VIT}`, with {code(ACTIVATIONS)}, and no decoder
            (`is_decoder`). Weights in pickles are never opened:
            {code(PICKLES)}."""
        ),
    )


def _row(family: FamilySpec, graphs: tuple[GraphSpec, ...]) -> tuple[str, str, str, str]:
    outputs = [f"`{graph.stem}`: {' or '.join(f'`{name}`' for name in graph.outputs)}" for graph in graphs]
    stems = code(graph.stem for graph in graphs)
    return f"`{family}`", stems, "; ".join(outputs), code(family.files.required)


def _inputs_row(family: FamilySpec, graphs: tuple[GraphSpec, ...]) -> tuple[str, str, str]:
    return f"`{family}`", "; ".join(code(graph.inputs) for graph in graphs), family.sizes


def _signs(row: FamilySpec) -> list[str]:
    return [*row.recognition.model_types, *(f"...{end}" for end in row.recognition.architectures)]
