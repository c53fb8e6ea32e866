"""Writes tests/data/language_graphs: tiny decoders of transformers as ONNX graphs, and what transformers says with them.

The weights are random. llama.onnx is as transformers.js' scripts export a model today, with a cache and positions;
qwen2_merged.onnx as optimum's older ones merged two traces, with a branch for an empty cache. Run once, in an environment
of its own; the tests need neither:

    pip install transformers==5.24.0 torch onnx
    PYTHONPATH=. python tests/data/make_language_graphs.py
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

OUT = Path(__file__).with_name("language_graphs")
SIZES: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 192,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "attn_implementation": "eager",
}
# One short, one longer than a page reads at once; a token is a byte.
PROMPTS = ["Once upon a time", "".join(chr(32 + (7 * i * i + 3 * i + 5) % 90) for i in range(90))]
N_TOKENS = 24
OPSET = 17


class Cached(nn.Module):
    """A decoder whose keys and values come in and go out one by one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor) -> Any:
        """Logits, and every layer's keys and values."""
        cache = DynamicCache()
        for layer in range(SIZES["num_hidden_layers"]):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        seen = torch.arange(attention_mask.shape[1])[None, None, None] <= position_ids[:, None, :, None]
        allowed = seen & (attention_mask[:, None, None] > 0)
        mask = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
        found = self.model(input_ids, attention_mask=mask, position_ids=position_ids, past_key_values=cache)
        sides = [side for layer in cache.layers for side in (layer.keys, layer.values)]
        return found.logits, *sides


def export(model: nn.Module) -> onnx.ModelProto:
    """The graph under transformers.js' names."""
    layers, heads = SIZES["num_hidden_layers"], SIZES["num_key_value_heads"]
    width = SIZES["hidden_size"] // SIZES["num_attention_heads"]
    ends = [f"{layer}.{side}" for layer in range(layers) for side in ("key", "value")]
    past, present = [f"past_key_values.{end}" for end in ends], [f"present.{end}" for end in ends]
    mask, positions = torch.ones(1, 5, dtype=torch.int64), torch.tensor([[2, 3, 4]])
    inputs = (torch.tensor([[5, 6, 7]]), mask, positions, *[torch.randn(1, heads, 2, width) for _ in past])
    names = ["input_ids", "attention_mask", "position_ids", *past]
    axes = {name: {0: "batch_size", 1: "sequence_length"} for name in ("input_ids", "position_ids", "logits")}
    axes["attention_mask"] = {0: "batch_size", 1: "total_sequence_length"}
    axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in past}
    axes |= {name: {0: "batch_size", 2: "total_sequence_length"} for name in present}
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Cached(model),
            inputs,
            content,
            input_names=names,
            output_names=["logits", *present],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    found = onnx.load_from_string(content.getvalue())
    onnx.checker.check_model(found, full_check=True)
    return found


def merge(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in both branches of an If, as optimum merges a trace with a cache and one without."""
    graph = model.graph
    given = {entry.name for entry in (*graph.input, *graph.initializer)}
    branches = []
    for branch in ("then", "else"):
        nodes = []
        for node in graph.node:
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            for names in (copy.input, copy.output):
                names[:] = [name if not name or name in given else f"{branch}/{name}" for name in names]
            nodes.append(copy)
        outputs = [onnx.ValueInfoProto.FromString(entry.SerializeToString()) for entry in graph.output]
        for entry in outputs:
            entry.name = f"{branch}/{entry.name}"
        branches.append(helper.make_graph(nodes, branch, [], outputs))
    names = [entry.name for entry in graph.output]
    node = helper.make_node("If", ["use_cache_branch"], names, then_branch=branches[0], else_branch=branches[1])
    flag = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])
    merged = helper.make_graph([node], "merged", [*graph.input, flag], list(graph.output), list(graph.initializer))
    made = helper.make_model(merged, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    onnx.checker.check_model(made, full_check=True)
    return made


def answer(model: nn.Module, prompt: list[int]) -> list[int]:
    """The likeliest tokens that follow, each well ahead of the second."""
    found = model.generate(
        torch.tensor([prompt]),
        max_new_tokens=N_TOKENS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=0,
    )
    for scores in found.logits:
        first, second = scores[0].topk(2).values
        assert first - second > 1e-3, "another seed is needed"
    return found.sequences[0, len(prompt) :].tolist()


def main() -> None:
    """Writes graphs, configurations and answers."""
    OUT.mkdir(exist_ok=True)
    answers = {}
    kinds = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
    for kind, (config_class, model_class) in kinds.items():
        torch.manual_seed(5)
        config = config_class(**SIZES)
        model = model_class(config).eval()
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                nn.init.normal_(parameter, std=0.25)
        answers[kind] = [answer(model, list(prompt.encode())) for prompt in PROMPTS]
        graph = export(model)
        target = OUT / ("llama.onnx" if kind == "llama" else "qwen2_merged.onnx")
        onnx.save(graph if kind == "llama" else merge(graph), target)
        described = {"architectures": [model_class.__name__], **config.to_diff_dict()}
        (OUT / f"{kind}.json").write_text(json.dumps(described, indent=1) + "\n")
    content = {"prompts": PROMPTS, "answers": answers}
    (OUT / "answers.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
