"""Sounds as requests carry them, at the rate that a model takes; and those of a model's examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from browser_runtime.contract.contrastive_families import SOUNDS
from browser_runtime.contract.errors import BadInput
from browser_runtime.families.processor import locate_example
from browser_runtime.models.manifest import StoredModel

Samples = np.ndarray[Any, np.dtype[np.float32]]
# Of a recording that is resampled, in the time of one character that is tokenised.
SAMPLES_A_CHARACTER = 20


def read_sound(item: Any, rate_hz: int, field: str) -> Samples:
    """The samples of a plain sound, resampled to `rate_hz`. Raises BadInput for what is none."""
    samples, given_hz = _opened(item)
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or samples.dtype != np.float32:
        raise BadInput(field, f"of type {type(samples).__name__}", "a float32 array [samples]")
    if given_hz == rate_hz or not samples.size:
        return samples
    import soxr

    resampled: Samples = soxr.resample(samples, given_hz, rate_hz, quality="HQ")
    return resampled.clip(-1, 1)


def _opened(item: Any) -> tuple[Any, float]:
    """The samples and their rate."""
    if isinstance(item, dict) and "rate_hz" in item:
        return item.get("audio"), item["rate_hz"]
    return item, SOUNDS.rate_hz or 0


def count_resampled(items: Any, rate_hz: int) -> int:
    """Samples that have to be resampled, in characters that take as long to tokenise."""
    sounds = [item.get("audio") if isinstance(item, dict) and "texts" in item else item for item in items]
    opened = [_opened(sound) for sound in sounds if sound is not None]
    return sum(np.size(samples) for samples, given_hz in opened if given_hz != rate_hz) // SAMPLES_A_CHARACTER


def make_tone(rate_hz: int) -> Samples:
    """One second of a tone."""
    return np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)


def read_recording(model: StoredModel, path: str) -> Any:
    """The plain sound in a file of the model's folder."""
    import soundfile

    samples, rate_hz = soundfile.read(locate_example(model, path), dtype="float32")
    return samples if rate_hz == SOUNDS.rate_hz else {"audio": samples, "rate_hz": rate_hz}
