"""Weights as few bits give them back, while they are trained: so that a model is good at 2 bits too.

The format is that of browser_runtime/page/kernels/README.md, scales and minima from the extremes of a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

GROUP = 32


def round_weights(weights: Tensor, bits: int) -> Tensor:
    """Float32 [rows, columns] rounded to 2, 3 or 4 bits with 6-bit scales and minima, or to 8 bits.

    Gradients pass as if nothing was rounded.
    """
    rows, columns = weights.shape
    groups = weights.reshape(rows, columns // GROUP, GROUP)
    with torch.no_grad():
        if bits == 8:
            scale = (groups.abs().amax(2, keepdim=True) / 127).clamp_min(1e-8)
            rounded = (groups / scale).round() * scale
        else:
            low, high = groups.amin(2, keepdim=True).clamp_max(0), groups.amax(2, keepdim=True)
            low = _in_6_bits(-low).neg()
            scale = _in_6_bits((high - low) / (2**bits - 1)).clamp_min(1e-8)
            rounded = ((groups - low) / scale).round().clamp(0, 2**bits - 1) * scale + low
        difference = rounded.reshape(rows, columns) - weights
    return weights + difference


def _in_6_bits(values: Tensor) -> Tensor:
    """Values of at least 0, [rows, groups, 1], as 6 bits under one number a row."""
    unit = (values.amax(1, keepdim=True) / 63).clamp_min(1e-12)
    return (values / unit).round() * unit


@contextmanager
def rounded_to(model: nn.Module, bits: int | None) -> Iterator[None]:
    """Within it, every linear layer's weights have `bits`; the embedding and the head keep at least 4.

    Weights of one width are rounded at once, when it is entered: on a GPU a small model's many matrices take
    longer one by one than all the rest of a step.
    """
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    if bits is None:
        layers = []
    kept = [(layer, layer.weight) for _, layer in layers]
    try:
        for alike in _alike(layers, bits or 0).values():
            rounded = round_weights(torch.cat([layer.weight for layer, _ in alike]), alike[0][1])
            parts = rounded.split([layer.weight.shape[0] for layer, _ in alike])
            for (layer, _), part in zip(alike, parts, strict=True):
                del layer.weight
                layer.weight = part  # type: ignore[assignment]  # a tensor that remembers its parameter
        yield
    finally:
        for layer, weight in kept:
            layer.weight = weight


def _alike(
    layers: list[tuple[str, nn.Linear]], bits: int
) -> dict[tuple[int, int], list[tuple[nn.Linear, int]]]:
    """Layers and their bits, by width and bits."""
    groups: dict[tuple[int, int], list[tuple[nn.Linear, int]]] = {}
    for name, layer in layers:
        own = max(bits, 4) if "head" in name else bits
        groups.setdefault((layer.weight.shape[1], own), []).append((layer, own))
    return groups
