"""Generated series: a level of 100 with 3 % noise of several kinds, and replays of recorded noise."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from browser_runtime.contract.errors import BadInput
from scheduler.regression.energy import Floats
from webinfer.bench.laboratory.documents import read_document, reading

CV = 0.03
Noise = Callable[[np.random.Generator, int, int], Floats]
"""(chance, number of series, samples of each) -> relative noise of standard deviation CV."""


def normal(rng: np.random.Generator, n_series: int, n: int) -> Floats:
    """Independent, normally distributed."""
    return CV * rng.standard_normal((n_series, n))


def heavy_tailed(rng: np.random.Generator, n_series: int, n: int) -> Floats:
    """Student's t with three degrees of freedom: a sample in 180 lies beyond four standard deviations."""
    noise: Floats = CV * rng.standard_t(3, (n_series, n)) / np.sqrt(3)
    return np.maximum(noise, -0.9)


def spiky(rng: np.random.Generator, n_series: int, n: int) -> Floats:
    """Normal, and every twentieth sample 50 % too high, at random."""
    return normal(rng, n_series, n) + 0.5 * (rng.random((n_series, n)) < 0.05)


def correlated(r: float) -> Noise:
    """Each sample resembles the one before, with a correlation of `r`."""

    def noise(rng: np.random.Generator, n_series: int, n: int) -> Floats:
        found = rng.standard_normal((n_series, n))
        for t in range(1, n):
            found[:, t] = r * found[:, t - 1] + np.sqrt(1 - r * r) * found[:, t]
        return CV * found

    return noise


# Made by `webinfer bench noise`: medians of 20 seconds of a run a second (noise_recordings/README.md).
BUSY_MACHINE = Path(__file__).parent / "noise_recordings/busy-machine.csv"
# Samples in a block of a replay: longer than their resemblance, which is gone after five.
BLOCK = 30
SAMPLE_S = 20.0


def recorded_deviations(path: Path) -> Floats:
    """Logarithms of the recorded samples, about their median."""
    with path.open(encoding="utf-8", newline="") as file:
        return _deviations([float(row["run_ms"]) for row in csv.DictReader(file)])


def read_recording(path: Path, where: str) -> Floats:
    """The same of a file of `webinfer bench noise`. Raises BadInput for another, or one that is too short."""
    document = read_document(path, "noise")
    with reading(str(path)):
        samples = reduce_samples(document["samples"])["run_ms"]
        found = _deviations(samples)
    if len(found) < 2 * BLOCK:
        problem = f"{path} of {len(found)} samples of {SAMPLE_S:g} s"
        raise BadInput(where, problem, f"one of {2 * BLOCK} at least")
    return found


def reduce_samples(columns: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    """Medians of each SAMPLE_S of a recording's columns; a sample in which nothing ran is left out."""
    places = np.array(columns["at_s"], float) // SAMPLE_S
    samples = [places == place for place in np.unique(places)]
    reduced = {"at_s": [float(place * SAMPLE_S) for place in np.unique(places)]}
    for name, values in columns.items():
        if name != "at_s":
            column = np.array(values, float)
            reduced[name] = [float(np.median(column[chosen])) for chosen in samples]
    return reduced


def _deviations(samples: Sequence[float]) -> Floats:
    logs = np.log(samples)
    found: Floats = logs - np.median(logs)
    return found


def replayed(known: Floats, cv: float | None = None) -> Noise:
    """Blocks of recorded deviations from places at random, scaled to a standard deviation if one is given."""

    def noise(rng: np.random.Generator, n_series: int, n: int) -> Floats:
        begins = rng.integers(0, len(known) - BLOCK + 1, (n_series, -(-n // BLOCK)))
        found = known[(begins[:, :, None] + np.arange(BLOCK)).reshape(n_series, -1)[:, :n]]
        relative: Floats = np.expm1(found if cv is None else found * (cv / known.std()))
        return relative

    return noise


NOISES: dict[str, Noise] = {
    "normal": normal,
    "heavy tails (t, 3 degrees)": heavy_tailed,
    "5 % spikes of +50 %": spiky,
    "correlated, r = 0.3": correlated(0.3),
    "correlated, r = 0.5": correlated(0.5),
    "correlated, r = 0.65": correlated(0.65),
    "correlated, r = 0.8": correlated(0.8),
    "recorded on a busy machine, scaled to 3 %": replayed(recorded_deviations(BUSY_MACHINE), CV),
    "recorded on a busy machine, 49 %": replayed(recorded_deviations(BUSY_MACHINE)),
}


def draw(noise: Noise, rng: np.random.Generator, n_series: int, n: int) -> Floats:
    """Samples around 100."""
    return 100 * (1 + noise(rng, n_series, n))
