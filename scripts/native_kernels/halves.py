"""The ways to read the two fp16 of a word, each by itself: which is wrong where the fp16 variant is."""

from __future__ import annotations

from typing import Any

import numpy as np
import wgpu
from device import Native

WAYS = {
    "unpack2x16float": "unpack2x16float(words[i])",
    "bitcast<vec2<f16>>": "vec2<f32>(bitcast<vec2<f16>>(words[i]))",
    "unpack2x16float, then vec2<f16>": "vec2<f32>(vec2<f16>(unpack2x16float(words[i])))",
}
SHADER = """enable f16;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec2<f32>>;
@group(0) @binding(0) var<uniform> count: u32;
@compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = min(id.x, count - 1u);
  y[i] = WAY;
}
"""
NUMBERS = np.array([0.5, -2.0, 1.25, 65504.0, 1e-4, -0.333, 3.0, 7.0], np.float16)


def check_halves(native: Native) -> dict[str, Any]:
    """By way: the first number that is not the fp16's, as [wanted, got]; None where all are right."""
    if "shader-f16" not in native.device.features:
        return {}
    return {way: _first_wrong(native, SHADER.replace("WAY", code)) for way, code in WAYS.items()}


def _first_wrong(native: Native, code: str) -> list[float] | str | None:
    n = len(NUMBERS) // 2
    y = native.buffer(4 * len(NUMBERS))
    try:
        native.record_code(code, [n], [native.buffer(NUMBERS), y], (n,))
        native.submit()
    except (wgpu.GPUError, RuntimeError) as error:
        native.forget()
        return str(error).strip().splitlines()[-1][:300]
    got = native.read(y, np.float32, len(NUMBERS))
    wrong = np.flatnonzero(got != NUMBERS.astype(np.float32))
    return [float(NUMBERS[wrong[0]]), float(got[wrong[0]])] if len(wrong) else None
