"""`webinfer bench kernels` in a real browser: our products, onnxruntime's, and what a plain copy reaches."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.browser("chrome")
def test_products_are_timed_beside_onnxruntime_s() -> None:
    arguments = ["--browser", "chrome", "--backend", "wasm", "--cases", "matmul [24] bits 1024x1024, 1 token"]
    command = [sys.executable, "-m", "webinfer", "bench", "kernels", *arguments, "--json"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    [place] = json.loads(found.stdout)
    ours = [row for row in place["rows"] if row["kernels"].startswith("low_bits wasm")]
    theirs = [row for row in place["rows"] if row["kernels"] == "onnxruntime-web MatMulNBits"]
    assert {row["case"] for row in ours} == {row["case"] for row in theirs} and len(ours) == 4
    assert all(row["error"] <= 1 and row["run"]["min_ms"] > 0 for row in ours)
    assert all(row["error"] < 0.02 for row in theirs)
    assert all(row["share_of_copy"] == row["gb_per_s"] / place["copy_gb_per_s"] for row in ours)
