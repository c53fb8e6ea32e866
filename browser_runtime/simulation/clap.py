"""Sounds and texts in one space, as `page/families/clap.js` does it."""

from __future__ import annotations

import numpy as np

from browser_runtime.models.configuration.sound_features import SoundPlan
from browser_runtime.simulation.comparing import Comparer, first_vector
from browser_runtime.simulation.feeds import Array, pad_rows
from browser_runtime.simulation.mels import LEAST_ENERGY, mel_filters, power_spectrum

OUTPUTS = ("audio_embeds",)


class SoundComparer(Comparer):
    """The two graphs of a CLAP with their processor."""

    def prepare_array(self, array: Array, field: str) -> Array:
        """The features: [1, frames, mels]."""
        return compute_decibels(fill_window(array, self.processor.sounds), self.processor.sounds)

    def embed_array(self, features: Array) -> Array:
        """The sound's vector."""
        graph = self.graphs["audio_model"]
        declared = graph.inputs.get("input_features")
        feeds = {"input_features": pad_rows(features[None], declared.size(0) if declared else None)}
        return first_vector(graph, feeds, OUTPUTS)


def fill_window(samples: Array, plan: SoundPlan) -> Array:
    """The sound repeated as the plan says, and then silence: [n_samples]."""
    times = {
        "repeatpad": plan.n_samples // len(samples),
        "repeat": plan.n_samples // len(samples) + 1,
    }
    repeated = np.tile(samples, times.get(plan.padding, 1))[: plan.n_samples]
    return np.pad(repeated, (0, plan.n_samples - len(repeated)))


def compute_decibels(samples: Array, plan: SoundPlan) -> Array:
    """float32 [1, frames, mels] of a whole window, in decibels."""
    filters = mel_filters(plan.n_mels, plan.window, plan.rate_hz, plan.low_hz, plan.high_hz)
    power = power_spectrum(samples.astype(np.float64), plan.window, plan.hop)
    decibels = 10 * np.log10(np.maximum(filters @ power, LEAST_ENERGY))
    features: Array = decibels.T[None].astype(np.float32)
    return features


RUNNER = SoundComparer
