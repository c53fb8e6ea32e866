"""Single digits, spoken or dialled, as recordings at 48 kHz, and the features that a CLAP takes of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor
from transformers import ClapFeatureExtractor

from training.utterances import join, sound_key
from training.voices import RATE_HZ, Piece, Wave

# Two seconds hold any digit. What is above 8 kHz, neither our voices nor telephones have.
EXTRACTOR = ClapFeatureExtractor(
    feature_size=64, max_length_s=2, frequency_min=50, frequency_max=8000, truncation="rand_trunc"
)
LONGEST_S = 1.9
FILTERS = torch.from_numpy(EXTRACTOR.mel_filters_slaney.astype(np.float32)).T
WINDOW = torch.hann_window(EXTRACTOR.fft_window_size)
LEAST_ENERGY = 1e-10


@dataclass(frozen=True)
class DigitSound:
    """A recording at 48 kHz; its digit; and the way it sounds: 0 spoken, 1 dialled."""

    wave: Wave
    digit: int
    way: int


def draw_spoken(takes: list[list[Piece]], chance: random.Random) -> DigitSound:
    """A digit said by one of the voices."""
    digit = chance.randrange(10)
    return DigitSound(_record(chance.choice(takes)[digit], chance), digit, 0)


def draw_dialled(chance: random.Random) -> DigitSound:
    """A digit dialled on a telephone."""
    digit = chance.randrange(10)
    return DigitSound(_record(sound_key(str(digit), chance.uniform(0.06, 0.5)), chance), digit, 1)


def _record(piece: Piece, chance: random.Random) -> Wave:
    shorter = Piece(piece.text, piece.wave[: int(0.9 * RATE_HZ)])
    wave: Wave = resample_poly(join([shorter], chance, LONGEST_S + 1).wave, 3, 1).astype(np.float32)
    return np.clip(wave, -1, 1)


def compute_features(waves: list[Wave]) -> Tensor:
    """ClapFeatureExtractor's features, [n, 1, frames, mels]: a short sound repeated, a long one cut."""
    length = EXTRACTOR.nb_max_samples
    sheet = torch.zeros(len(waves), length)
    for row, wave in zip(sheet, waves, strict=True):
        whole = np.tile(wave, max(1, length // len(wave)))[:length]
        row[: len(whole)] = torch.from_numpy(whole)
    size, hop = EXTRACTOR.fft_window_size, EXTRACTOR.hop_length
    power = torch.stft(sheet, size, hop, window=WINDOW, return_complex=True).abs() ** 2
    return (10 * torch.clamp(FILTERS @ power, min=LEAST_ENERGY).log10()).transpose(1, 2)[:, None]
