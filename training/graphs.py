"""ONNX files from torch modules, under the tensor and dimension names that transformers.js expects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from transformers import ClapModel, CLIPModel

# What transformers.js' own models are published with; every backend of onnxruntime-web reads it.
OPSET = 17
Axes = dict[str, dict[int, str]]


class TextTower(nn.Module):
    """The embedding of texts as a graph: what `get_text_features` gives, before CLAP makes its length 1."""

    def __init__(self, model: CLIPModel | ClapModel) -> None:
        super().__init__()
        self.tower, self.projection = model.text_model, model.text_projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[n, 64] of ids and mask [n, tokens]."""
        hidden = self.tower(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return self.projection(hidden)


def write_graph(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    path: Path,
    names: tuple[list[str], list[str]],
    axes: Axes,
) -> None:
    """`module` as one ONNX file, weights inside; `names` are inputs and outputs, `axes` the named free axes.

    Raises onnx.checker.ValidationError when the exporter wrote something that is not ONNX.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    module.eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of Python branches that our fixed shapes never take
        torch.onnx.export(
            module,
            tuple(inputs),
            str(path),
            input_names=names[0],
            output_names=names[1],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)
