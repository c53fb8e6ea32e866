"""Text models that go wrong in one way each, planted in a store past every check of an import."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from browser_runtime.contract.families import TEXT_EMBEDDING
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.files.integrity import describe_file
from browser_runtime.models.manifest import StoredModel, list_paths, write_manifest
from browser_runtime.models.store import ModelStore
from tests.stand_ins.odd_graphs import Change, rewrite
from tests.stand_ins.tiny_models import BERT_CONFIG, WORDS, write_json, write_tokenizer

WIDTH = 8
EMBEDDINGS = np.random.default_rng(0).standard_normal((len(WORDS), WIDTH)).astype(np.float32)
# Words whose ids a table of only KNOWN rows does not hold.
KNOWN = 8
# The word on which `underflow` fails on a GPU.
UNDERFLOWS = "sleeps"
# The word with which `loops` does not end.
ENDLESS = "girl"
Node = onnx.NodeProto
node: Callable[..., Node] = helper.make_node


def plant(store: ModelStore, name: str, graphs: dict[Precision, onnx.ModelProto]) -> StoredModel:
    """A text model of these graphs in the store, with a manifest, a config and a tokenizer of WORDS."""
    folder = store.root / name
    write_tokenizer(folder)
    write_json(folder / "config.json", BERT_CONFIG)
    suffixes = {Precision.FP32: "", Precision.FP16: "_fp16", Precision.INT8: "_int8"}
    (folder / "onnx").mkdir(exist_ok=True)
    for precision, graph in graphs.items():
        onnx.save_model(graph, str(folder / "onnx" / f"model{suffixes[precision]}.onnx"))
    files = {path: describe_file(folder / path) for path in list_paths(folder)}
    settings = {"pooling": "mean", "normalize": True, "max_tokens": 16}
    write_manifest(StoredModel(name, TEXT_EMBEDDING, folder, "1", settings, (), files, "test", "test"))
    model = store.find(name)
    assert model is not None
    return model


def plant_copy(store: ModelStore, name: str, source: str, graph: str, *changes: Change) -> StoredModel:
    """A copy of a stored model as `name`, without its examples, one of its graphs changed."""
    original = store.find(source)
    assert original is not None
    folder = store.root / name
    shutil.copytree(original.folder, folder, ignore=shutil.ignore_patterns("examples"))
    rewrite(folder / "onnx" / f"{graph}.onnx", *changes)
    files = {path: describe_file(folder / path) for path in list_paths(folder)}
    write_manifest(replace(original, name=name, folder=folder, files=files, extra={}))
    model = store.find(name)
    assert model is not None
    return model


def make_graph(
    nodes: list[Node], constants: dict[str, Any], ir_version: int = 8, domains: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """A graph from input_ids and attention_mask to last_hidden_state."""
    sizes = ["batch_size", "sequence_length"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, sizes)
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*sizes, WIDTH])]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "text", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def lookup(table: np.ndarray = EMBEDDINGS, **more: Any) -> onnx.ModelProto:
    """Each token's row of the table: a model in good health, where the table has a row for every word."""
    return make_graph(
        [node("Gather", ["table", "input_ids"], ["last_hidden_state"])], {"table": table}, **more
    )


def short_table() -> onnx.ModelProto:
    """Fails on words from KNOWN on, as a RoBERTa does on a text longer than its positions."""
    return lookup(EMBEDDINGS[:KNOWN])


def unknown_operator() -> onnx.ModelProto:
    """An operator that no onnxruntime has: it cannot be opened."""
    nodes = [
        node("Oracle", ["input_ids"], ["answer"], domain="acme"),
        node("Gather", ["table", "input_ids"], ["last_hidden_state"]),
    ]
    return make_graph(nodes, {"table": EMBEDDINGS}, domains=("acme",))


def never_runs() -> onnx.ModelProto:
    """Opens, and fails on whatever it is run on: a shape that no input has."""
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Add", ["zeros", "attention_mask"], ["kept"]),
        node("Slice", ["kept", "start", "end", "axis"], ["shape"]),
        node("Squeeze", ["shape", "rows"], ["flat"]),
        node("Reshape", ["words", "flat"], ["last_hidden_state"]),
    ]
    zero, one = np.array([0]), np.array([1])
    constants = {"table": EMBEDDINGS, "zeros": np.array(6), "start": zero, "end": one}
    return make_graph(nodes, constants | {"axis": one, "rows": zero})


def roberta() -> onnx.ModelProto:
    """Token types as every RoBERTa exported today has them: gathered by position from a buffer of zeros.

    Source: transformers' RobertaEmbeddings.forward. onnxruntime-web 1.31 dies of it on WebNN (`unreachable`).
    """
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Shape", ["input_ids"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"]),
        node("Concat", ["rows", "positions"], ["size"], axis=0),
        node("Expand", ["types", "size"], ["buffer"]),
        node("CumSum", ["attention_mask", "one"], ["counted"]),
        node("Mul", ["counted", "attention_mask"], ["position_ids"]),
        node("GatherElements", ["buffer", "position_ids"], ["type_ids"], axis=1),
        node("Gather", ["type_table", "type_ids"], ["typed"]),
        node("Add", ["words", "typed"], ["last_hidden_state"]),
    ]
    constants = {
        "table": EMBEDDINGS,
        "type_table": np.zeros((2, WIDTH), np.float32),
        "types": np.zeros((1, 1), np.int64),
        "first": np.array([0]),
        "positions": np.array([64]),
        "one": np.array(1),
    }
    return make_graph(nodes, constants)


def nested_functions(depth: int = 4000) -> onnx.ModelProto:
    """Functions that call each other so deep that every browser's onnxruntime runs out of stack and dies."""
    domain = "acme"
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("f0", ["words"], ["last_hidden_state"], domain=domain),
    ]
    graph = make_graph(nodes, {"table": EMBEDDINGS}, domains=(domain,))
    for level in range(depth):
        last = node("Identity", ["x"], ["y"])
        body = node(f"f{level + 1}", ["x"], ["y"], domain=domain) if level < depth - 1 else last
        graph.functions.append(helper.make_function(domain, f"f{level}", ["x"], ["y"], [body], imports))
    return graph


def hungry() -> onnx.ModelProto:
    """Memory as the fifth power of the batch: 16 texts need 138 MB, 32 more than WebAssembly's 4 GiB.

    The smaller tensor is held while the larger is asked for, so that the asking fails and nothing is filled.
    """
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Shape", ["input_ids"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"]),
        node("Concat", ["rows"] * 5 + ["two"], ["small_size"], axis=0),
        node(
            "ConstantOfShape",
            ["small_size"],
            ["small"],
            value=numpy_helper.from_array(np.ones(1, np.float32)),
        ),
        node("Concat", ["rows"] * 5 + ["most"], ["large_size"], axis=0),
        node(
            "ConstantOfShape",
            ["large_size"],
            ["large"],
            value=numpy_helper.from_array(np.ones(1, np.float32)),
        ),
        node("ReduceMax", ["large"], ["one"], keepdims=0),
        node("ReduceMax", ["small"], ["same"], keepdims=0),
        node("Mul", ["one", "same"], ["factor"]),
        node("Mul", ["words", "factor"], ["last_hidden_state"]),
    ]
    constants = {
        "table": EMBEDDINGS,
        "first": np.array([0]),
        "two": np.array([2]),
        "most": np.array([31]),
    }
    return make_graph(nodes, constants)


def crashes_on_batches() -> onnx.ModelProto:
    """A single text is looked up; several go the way of `roberta`, of which WebNN's engine dies.

    WebNN opens a graph for each batch size, so that the condition is a constant there and one branch is left.
    """
    typed = roberta().graph
    names = {"last_hidden_state": "typed_words"}
    several = helper.make_graph(
        [
            node(
                each.op_type,
                list(each.input),
                [names.get(name, name) for name in each.output],
                **{a.name: helper.get_attribute_value(a) for a in each.attribute},
            )
            for each in typed.node
        ],
        "several",
        [],
        [
            helper.make_tensor_value_info(
                "typed_words", TensorProto.FLOAT, ["batch_size", "sequence_length", WIDTH]
            )
        ],
        list(typed.initializer),
    )
    single = helper.make_graph(
        [node("Gather", ["single_table", "input_ids"], ["looked_up"])],
        "single",
        [],
        [
            helper.make_tensor_value_info(
                "looked_up", TensorProto.FLOAT, ["batch_size", "sequence_length", WIDTH]
            )
        ],
        [numpy_helper.from_array(EMBEDDINGS, "single_table")],
    )
    nodes = [
        node("Shape", ["input_ids"], ["its_shape"]),
        node("Gather", ["its_shape", "zero"], ["n_rows"]),
        node("Equal", ["n_rows", "unit"], ["is_single"]),
        node("If", ["is_single"], ["last_hidden_state"], then_branch=single, else_branch=several),
    ]
    return make_graph(nodes, {"zero": np.array(0), "unit": np.array(1)})


def half() -> onnx.ModelProto:
    """Computes in half precision: a GPU without `shader-f16` cannot."""
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Mul", ["words", "words"], ["squares"]),
        node("Cast", ["squares"], ["last_hidden_state"], to=TensorProto.FLOAT),
    ]
    return make_graph(nodes, {"table": EMBEDDINGS.astype(np.float16)})


def underflow() -> onnx.ModelProto:
    """Divides a number of each word by itself; a GPU takes 1e-40, that of UNDERFLOWS, for zero: NaN."""
    sizes = np.ones((len(WORDS), 1), np.float32)
    sizes[WORDS.index(UNDERFLOWS)] = 1e-40
    nodes = [
        node("Gather", ["sizes", "input_ids"], ["size"]),
        node("Gather", ["same_sizes", "input_ids"], ["same_size"]),
        node("Div", ["size", "same_size"], ["one"]),
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Mul", ["words", "one"], ["last_hidden_state"]),
    ]
    return make_graph(nodes, {"table": EMBEDDINGS, "sizes": sizes, "same_sizes": sizes.copy()})


def never_a_number() -> onnx.ModelProto:
    """Nothing by nothing, on every backend."""
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Sub", ["words", "words"], ["zero"]),
        node("Div", ["zero", "zero"], ["last_hidden_state"]),
    ]
    return make_graph(nodes, {"table": EMBEDDINGS})


def all_zeros() -> onnx.ModelProto:
    """Answers every text alike, with nothing."""
    return lookup(np.zeros_like(EMBEDDINGS))


def loops() -> onnx.ModelProto:
    """Computes for ever where its text holds ENDLESS, else at once."""
    words = helper.make_tensor_value_info(
        "again", TensorProto.FLOAT, ["batch_size", "sequence_length", WIDTH]
    )
    body = helper.make_graph(
        [
            node("Identity", ["is_endless"], ["goes_on"]),
            node("Mul", ["so_far", "unit"], ["again"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("went_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so_far", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []), words],
    )
    nodes = [
        node("Gather", ["table", "input_ids"], ["words"]),
        node("Equal", ["input_ids", "endless"], ["found"]),
        node("Cast", ["found"], ["counts"], to=TensorProto.INT32),
        node("ReduceMax", ["counts"], ["any"], keepdims=0),
        node("Cast", ["any"], ["is_endless"], to=TensorProto.BOOL),
        node("Loop", ["", "true", "words"], ["last_hidden_state"], body=body),
    ]
    constants = {"table": EMBEDDINGS, "endless": np.array(WORDS.index(ENDLESS)), "true": np.array(True)}
    return make_graph(nodes, constants | {"unit": np.array(1, np.float32)})
