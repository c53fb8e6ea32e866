"""Comparisons with made-up sessions: levels by start, noise by run."""

from __future__ import annotations

from typing import Any

import numpy as np

from webinfer.bench.laboratory.answers import Answer
from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.comparing import Block, Comparison, Limits
from webinfer.bench.laboratory.sessions import ONCE, STEPS, Start

FACTS = {
    "browser": "chrome",
    "browser_build": "Chromium 156.0",
    "driver": "156.0",
    "adapter": "CPU",
    "is_software": True,
    "backend": "wasm",
    "precision": "fp32",
    "kernel": "onnxruntime-web",
    "model": "digits-vit",
    "revision": "abc",
    "threads": 1,
}


def start(compute_ms: float, answer: Answer | None = None, **facts: Any) -> Start:
    """A session whose runs take `compute_ms` of compute and 1 ms to the page and back."""
    run = dict.fromkeys(STEPS, 0.0) | {"compute_ms": compute_ms, "bridge_ms": 1.0}
    once = dict.fromkeys(ONCE, 100.0)
    return Start(once, [run] * 5, 300.0, answer or Answer("7", (), {"7": 0.9}), FACTS | facts)


def comparison(
    ratio: float,
    n: int = 8,
    noise: float = 0.005,
    seed: int = 1,
    answer: Answer | None = None,
    limits: Limits | None = None,
) -> Comparison:
    """`n` blocks in which b computes `ratio` times as long as a, with noise between starts."""
    chance = np.random.default_rng(seed)
    blocks = [
        Block(
            start(10.0 * float(np.exp(chance.normal(0, noise)))),
            start(10.0 * ratio * float(np.exp(chance.normal(0, noise))), answer),
        )
        for _ in range(n)
    ]
    return Comparison(
        Arm("", "digits-vit"), Arm("", "digits-vit"), limits or Limits(), blocks, is_narrow=True, seconds=80.0
    )
