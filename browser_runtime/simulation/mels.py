"""Whisper's log-mel features in numpy, and the parts that CLAP's share with them.

Source: Radford et al. 2022 (arXiv:2212.04356), section 2.2, as Hugging Face's WhisperFeatureExtractor
computes them; the mel filters are Slaney's (Auditory Toolbox, 1998), which librosa made usual.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from browser_runtime.models.configuration.features import MelPlan
from browser_runtime.simulation.graphs import Array

# Slaney's scale: linear up to 1 kHz, 27 steps an octave of 6.4 above.
LINEAR_HZ = 200.0 / 3
BREAK_HZ = 1000.0
LOG_STEP = np.log(6.4) / 27.0
# log10 of the least energy that is distinguished, and the span below the loudest frame that is kept.
LEAST_ENERGY = 1e-10
SPAN = 8.0


def compute_features(sound: Array, plan: MelPlan) -> Array:
    """float32 [n_mels, frames] of float32 [samples], padded with silence or cut to the plan's window."""
    samples = np.zeros(plan.n_samples, np.float64)
    part = sound[: plan.n_samples]
    samples[: len(part)] = part
    filters = mel_filters(plan.n_mels, plan.window, plan.rate_hz)
    # Whisper leaves the last frame out.
    power = power_spectrum(samples, plan.window, plan.hop)[:, :-1]
    energies = np.maximum(filters @ power, LEAST_ENERGY)
    logs = np.log10(energies)
    logs = np.maximum(logs, logs.max() - SPAN)
    features: Array = ((logs + 4.0) / 4.0).astype(np.float32)
    return features


def power_spectrum(samples: Array, window: int, hop: int) -> Array:
    """Power [window / 2 + 1, frames] under a periodic Hann window, the first frame around the beginning."""
    padded = np.pad(samples, window // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power: Array = np.abs(np.fft.rfft(frames * hann, axis=1)).T ** 2
    return power


@cache
def mel_filters(
    n_mels: int, window: int, rate_hz: int, low_hz: float = 0.0, high_hz: float | None = None
) -> Array:
    """Triangles of equal area, evenly spaced in mel, up to half the rate: [n_mels, window / 2 + 1]."""
    highest = rate_hz / 2 if high_hz is None else high_hz
    edges = _to_hz(np.linspace(float(_to_mel(low_hz)), float(_to_mel(highest)), n_mels + 2))
    bins = np.linspace(0.0, rate_hz / 2, window // 2 + 1)
    slopes = (edges[:, None] - bins) / np.diff(edges, append=np.inf)[:, None]
    rising = -slopes[:-2]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: Array = triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def _to_mel(hz: float) -> Array:
    linear = hz / LINEAR_HZ
    above = BREAK_HZ / LINEAR_HZ + np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(np.asarray(hz) < BREAK_HZ, linear, above)


def _to_hz(mel: Array) -> Array:
    break_mel = BREAK_HZ / LINEAR_HZ
    above = BREAK_HZ * np.exp(LOG_STEP * (mel - break_mel))
    return np.where(mel < break_mel, mel * LINEAR_HZ, above)
