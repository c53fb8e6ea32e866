"""Runs the page's WGSL natively through wgpu: cases beside NumPy, times beside a plain copy, as JSON.

    python3 scripts/native_kernels [--limit-s 120] [--megabytes 256]

Needs the packages wgpu and numpy, and a Vulkan, Metal or Direct3D 12 driver. webinfer need not be installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import wgpu
from attention import attention_checks
from cases import CHOOSING, Outcome, checks, packing, time_product
from copies import time_copies
from device import Native, Variant
from halves import check_halves

LARGE = tuple((bits, 16384, 8192, 1) for bits in (2, 3, 4, 8)) + tuple(
    (bits, 4096, 2048, tokens) for tokens in (1, 32) for bits in (2, 3, 4, 8, 16, 32)
)
"""What is timed: larger than any cache, and what a small model multiplies."""


def main() -> int:
    """Prints JSON; 0 where every case is right."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--limit-s", type=float, default=120, help="start no new timing after so many seconds"
    )
    parser.add_argument("--megabytes", type=int, default=256, help="size of the plain copy")
    chosen = parser.parse_args()
    end = time.monotonic() + chosen.limit_s
    native = Native.open()
    copies = time_copies(native, chosen.megabytes * 2**20)
    copy = max(copies.values())
    variants = [_check(native, variant, is_first=n == 0) for n, variant in enumerate(native.variants)]
    right = [row for row in variants if row.get("worst", 2) <= 1]
    timings = [
        {"variant": row["kernels"], **time_product(native, case, copy, 0.5)}
        for row in right
        for case in _set_variant(native, row["kernels"], CHOOSING)
        if time.monotonic() < end
    ]
    for case in _set_variant(native, _quickest(timings), LARGE):
        size = packing.tensor_bytes(case[0], (case[1], case[2]))
        fits = size <= native.device.limits["max-storage-buffer-binding-size"]
        if fits and time.monotonic() < end and timings:
            timings.append({"variant": native.variant.name, **time_product(native, case, copy, 0.5)})
    print(json.dumps(_report(native, copies, variants, timings), indent=1))
    return 0 if right and all(not row.get("wrong", True) for row in variants) else 1


def _check(native: Native, variant: Variant, *, is_first: bool) -> dict[str, Any]:
    """The cases of a variant; what does not depend on it only once."""
    native.variant = variant
    outcomes: list[Outcome] = []
    try:
        outcomes += checks(native)
        if is_first or variant.halves == "f16":
            outcomes += attention_checks(native)
    except (wgpu.GPUError, RuntimeError) as error:
        native.forget()
        return {"kernels": variant.name, "refused": str(error).strip().splitlines()[-1][:300], "wrong": []}
    wrong = [{"name": each.name, "error": each.error} for each in outcomes if not each.error <= 1]
    worst = float(np.max([each.error for each in outcomes]))
    return {"kernels": variant.name, "cases": len(outcomes), "worst": round(worst, 4), "wrong": wrong}


def _set_variant(native: Native, name: str, cases: tuple[Any, ...]) -> tuple[Any, ...]:
    native.variant = next((each for each in native.variants if each.name == name), native.variant)
    return cases


def _quickest(timings: list[dict[str, Any]]) -> str:
    """The variant that the page would choose: a token, and an eighth of a piece of a prompt."""
    scores: dict[str, float] = {}
    for row, weight in zip(timings, (1, 1 / 8) * len(timings), strict=False):
        scores[row["variant"]] = scores.get(row["variant"], 0) + weight * row["ms"]
    return min(scores, key=scores.__getitem__, default="")


def _report(
    native: Native, copies: dict[str, float], variants: list[dict[str, Any]], timings: list[dict[str, Any]]
) -> dict[str, Any]:
    info = native.adapter.info
    return {
        "adapter": info["device"],
        "driver": info["description"],
        "backend": info["backend_type"],
        "kind": info["adapter_type"],
        "wgpu": wgpu.__version__,
        "copy_gb_per_s": {name: round(copy / 1e9, 2) for name, copy in copies.items()},
        "variants": variants,
        "wrong_halves": check_halves(native),
        "timings": timings,
    }


if __name__ == "__main__":
    sys.exit(main())
