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


class _Rounded(nn.Module):
    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weights: Tensor) -> Tensor:
        return round_weights(weights, self.bits)


@contextmanager
def rounded_to(model: nn.Module, bits: int | None) -> Iterator[None]:
    """Within it, every linear layer's weights have `bits`; the embedding and the head keep at least 4."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    try:
        for name, layer in layers:
            if bits is not None:
                kept = max(bits, 4) if "head" in name else bits
                nn.utils.parametrize.register_parametrization(layer, "weight", _Rounded(kept))
        yield
    finally:
        for _, layer in layers:
            if nn.utils.parametrize.is_parametrized(layer):
                nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
