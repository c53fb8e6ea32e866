"""Generated series: a level of 100 with 3 % noise of several kinds, among them that of recordings."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

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
FOLDER = Path(__file__).parent / "noise_recordings"
RECORDINGS = {
    "a busy machine": FOLDER / "busy-machine.csv",
    "a machine busy by turns": FOLDER / "by-turns.csv",
    "a quiet machine": FOLDER / "quiet-machine.csv",
    "a quiet machine again": FOLDER / "quiet-machine-again.csv",
}
# Samples in a block of a replay: ten minutes, longer than most of their resemblance lasts.
BLOCK = 30
SAMPLE_S = 20.0
# Of a model of recorded noise: the samples it may look back on, and those until it forgot where it began.
MOST_LAGS, SETTLED = 20, 500


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
    """Blocks of recorded deviations from places at random, scaled to a standard deviation if one is given.

    The first block of each series is cut at random, so that the borders are at no special sample.
    """

    def noise(rng: np.random.Generator, n_series: int, n: int) -> Floats:
        begins = rng.integers(0, len(known) - BLOCK + 1, (n_series, -(-n // BLOCK) + 1))
        blocks = known[(begins[:, :, None] + np.arange(BLOCK)).reshape(n_series, -1)]
        cut = rng.integers(0, BLOCK, (n_series, 1))
        found = np.take_along_axis(blocks, cut + np.arange(n), axis=1)
        relative: Floats = np.expm1(found if cv is None else found * (cv / known.std()))
        return relative

    return noise


def steady(known: Floats, cv: float = CV) -> Noise:
    """Noise of a steady level with the correlation and the surprises of a recording, without its steps.

    An autoregressive model of the order that Akaike's criterion chooses, by the equations of Yule and Walker,
    whose surprises are drawn from the recording's own: Buehlmann, "Sieve bootstrap for time series" (1997).
    """
    weights, surprises = _autoregress(known - known.mean())

    def noise(rng: np.random.Generator, n_series: int, n: int) -> Floats:
        drawn = rng.choice(surprises, (n_series, SETTLED + n))
        found = lfilter([1.0], [1.0, *-weights], drawn, axis=1)[:, SETTLED:]
        relative: Floats = np.expm1(found * (cv / known.std()))
        return relative

    return noise


def _autoregress(known: Floats) -> tuple[Floats, Floats]:
    """The weights of earlier samples, the last one's first, and what they leave unexplained, about zero."""
    n = len(known)
    products = np.array([known[lag:] @ known[: n - lag] for lag in range(MOST_LAGS + 1)]) / n
    fits = [solve_toeplitz(products[:order], products[1 : order + 1]) for order in range(1, MOST_LAGS + 1)]
    left = [products[0] - weights @ products[1 : len(weights) + 1] for weights in fits]
    criteria = [n * np.log(rest) + 2 * len(weights) for weights, rest in zip(fits, left, strict=True)]
    weights = fits[int(np.argmin(criteria))]
    surprises = lfilter([1.0, *-weights], [1.0], known)[len(weights) :]
    return weights, surprises - surprises.mean()


KNOWN = {name: recorded_deviations(path) for name, path in RECORDINGS.items()}
NOISES: dict[str, Noise] = {
    "normal": normal,
    "heavy tails (t, 3 degrees)": heavy_tailed,
    "5 % spikes of +50 %": spiky,
    "correlated, r = 0.3": correlated(0.3),
    "correlated, r = 0.5": correlated(0.5),
    "correlated, r = 0.65": correlated(0.65),
    "correlated, r = 0.8": correlated(0.8),
    **{f"that of {name}": steady(known) for name, known in KNOWN.items()},
    **{f"replays of {name}": replayed(known, CV) for name, known in KNOWN.items()},
}


def draw(noise: Noise, rng: np.random.Generator, n_series: int, n: int) -> Floats:
    """Samples around 100."""
    return 100 * (1 + noise(rng, n_series, n))
