"""Series whose truth is known."""

from __future__ import annotations

import json

import numpy as np

from scheduler.regression.energy import Floats
from scheduler.regression.lines import Series

HOUR_S = 3600.0
BUILD = ("156.0", "driver", "0.1.0", "r1")


def noisy(n_series: int, n: int, seed: int, cv: float = 0.03) -> Floats:
    """Samples around 100."""
    found: Floats = 100 * (1 + cv * np.random.default_rng(seed).standard_normal((n_series, n)))
    return found


def correlated_noise(n_series: int, n: int, r: float, seed: int, cv: float = 0.03) -> Floats:
    """Samples around 100, each with a share `r` of the deviation of the one before."""
    noise = np.random.default_rng(seed).standard_normal((n_series, n))
    for t in range(1, n):
        noise[:, t] = r * noise[:, t - 1] + np.sqrt(1 - r * r) * noise[:, t]
    found: Floats = 100 * (1 + cv * noise)
    return found


def line(
    values: Floats, *, metric: str = "latency", start_s: float = 0.0, model: str = "m", build: str = "156.0"
) -> Series:
    """Hourly samples of one metric; the others have none."""
    found: dict[str, tuple[Floats, Floats]] = {
        name: (np.empty(0), np.empty(0)) for name in ("latency", "throughput", "memory")
    }
    found[metric] = (start_s + HOUR_S * np.arange(len(values), dtype=np.float64), values)
    return Series(json.dumps({"model": model}), (build, *BUILD[1:]), found)
