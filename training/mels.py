"""Whisper's log-mel features in torch, for a short stretch of the window and for all of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor

from training.voices import Wave

# A third of Whisper's own window holds the longest number, and attention to it costs a ninth.
WINDOW_S = 10
EXTRACTOR = WhisperFeatureExtractor(feature_size=80, chunk_length=WINDOW_S)
HOP, FFT = EXTRACTOR.hop_length, EXTRACTOR.n_fft
SAMPLES_PER_POSITION = 2 * HOP
POSITIONS = EXTRACTOR.n_samples // SAMPLES_PER_POSITION
FILTERS = torch.from_numpy(EXTRACTOR.mel_filters.astype(np.float32)).T
WINDOW = torch.hann_window(FFT)
SILENCE = -10.0  # log10 of the 1e-10 that Whisper's extractor takes for nothing


def lay_out(waves: list[Wave], n_positions: int, starts: list[int]) -> Tensor:
    """Each wave from its start sample on in n_positions of silence, [n, samples]; too long ones are cut."""
    sheet = torch.zeros(len(waves), n_positions * SAMPLES_PER_POSITION)
    for row, wave, start in zip(sheet, waves, starts, strict=True):
        part = torch.from_numpy(wave)[: len(row) - start]
        row[start : start + len(part)] = part
    return sheet


def compute_mels(sheet: Tensor) -> tuple[Tensor, Tensor]:
    """Features [n, 80, frames] of [n, samples], and what silence becomes among each row's features, [n]."""
    spectrum = torch.stft(sheet, FFT, HOP, window=WINDOW, return_complex=True)[..., :-1].abs() ** 2
    logs = torch.clamp(FILTERS @ spectrum, min=1e-10).log10()
    floor = (logs.amax(dim=(1, 2)) - 8.0).clamp(min=SILENCE)
    logs = torch.maximum(logs, floor[:, None, None])
    return (logs + 4.0) / 4.0, (floor + 4.0) / 4.0
