"""A Hadamard rotation of each head's values, folded into the matrices before and after: free at run time.

Rotated values have no outliers among their channels, so that few bits hold them: Ashkboos et al. 2024
(QuaRot, arXiv:2404.00456).
"""

from __future__ import annotations

import numpy as np

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.shape import DecoderShape

# Any signs will do; these are everybody's.
SEED = 3


def rotation(width: int) -> FloatArray:
    """R = H diag(signs) / sqrt(width), orthogonal [width, width]; `width` is a power of two."""
    matrix = np.ones((1, 1))
    while len(matrix) < width:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    signs = np.random.RandomState(SEED).choice([-1.0, 1.0], width)
    turn: FloatArray = (matrix * signs / np.sqrt(width)).astype(np.float32)
    return turn


def can_rotate(shape: DecoderShape) -> bool:
    """True if there is a Hadamard matrix of a head's width here."""
    return shape.head_width & (shape.head_width - 1) == 0


def rotate_values(shape: DecoderShape, layer: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """The layer's tensors, values' rows and the output's columns rotated head by head."""
    turn, width = rotation(shape.head_width), shape.head_width
    heads = layer["v"].reshape(shape.kv_heads, width, -1)
    rotated = dict(layer)
    rotated["v"] = np.matmul(turn, heads).reshape(layer["v"].shape)
    rotated["o"] = (layer["o"].reshape(-1, shape.heads, width) @ turn.T).reshape(layer["o"].shape)
    if "v_bias" in layer:
        rotated["v_bias"] = (layer["v_bias"].reshape(-1, width) @ turn.T).reshape(-1)
    return rotated
