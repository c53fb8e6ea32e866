"""Digits spoken by espeak-ng: short waveforms of single words and of fluent runs, by many voices."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE_HZ = 16_000
WORDS = "zero one two three four five six seven eight nine".split()
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc", "en-gb-x-gbcwmd")
# espeak-ng 1.51's timbres without the robots and the whisperers; these are heard in training ...
TRAINED = (
    "Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Lee Marco Mario Mike Nguyen adam anika "
    "announcer antonio belinda benjamin boris caleb david ed edward f1 f3 f4 grandpa gustave iven iven3 john "
    "kaukovalta klatt klatt2 klatt4 m1 m2 m4 m5 m6 m8 marcelo max michel norbert pablo pedro quincy rob "
    "robert sandro shelby steph steph2 travis zac"
).split()
# ... and these only in the test.
HELD_OUT = (
    "Gene2 Jacky Michael aunty f2 f5 grandma iven2 klatt3 linda m3 m7 miguel paul steph3 victor".split()
)
PAUSE = " <break time='900ms'/> "
# Between two pieces espeak-ng is silent for 0.7 s or more, within one for less than 0.06 s.
SILENT_S = 0.3
SILENT_LEVEL = 60
ESPEAK_HZ = 22_050
# x/441 resamples 22 050 Hz to 16 000 Hz at x = 320; the others make the speaker larger or smaller.
RESAMPLINGS = (292, 306, 320, 320, 334, 350)
WAV_HEADER_BYTES = 44

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """A recording of one voice without pauses: `text` in digits, `wave` at 16 kHz with a peak of 1."""

    text: str
    wave: Wave


def record(timbres: list[str], n_takes: int, n_runs: int, seed: int) -> list[list[Piece]]:
    """For each timbre and take, one voice's ten words and `n_runs` fluent runs of 2 to 6 digits."""
    chance = random.Random(seed)
    takes = [_record_take(timbre, n_runs, chance) for timbre in timbres for _ in range(n_takes)]
    return [pieces for pieces in takes if pieces]


def _record_take(timbre: str, n_runs: int, chance: random.Random) -> list[Piece]:
    """One voice at one random accent, pitch and speed; empty if its pauses could not be found."""
    runs = ["".join(chance.choices("0123456789", k=chance.randint(2, 6))) for _ in range(n_runs)]
    texts = [*"0123456789", *runs]
    voice = ["-v", f"{chance.choice(ACCENTS)}+{timbre}", "-p", str(chance.randint(25, 80))]
    wave = speak(texts, [*voice, "-s", str(chance.randint(105, 200))])
    waves = split(wave)
    if len(waves) != len(texts):
        return []
    up = chance.choice(RESAMPLINGS)
    return [Piece(text, _resample(one, up)) for text, one in zip(texts, waves, strict=True)]


def speak(texts: list[str], options: list[str]) -> NDArray[np.int16]:
    """espeak-ng's voice at 22 050 Hz saying each text's digits, pauses between. Raises CalledProcessError."""
    said = PAUSE.join(" ".join(WORDS[int(digit)] for digit in text) + "." for text in texts)
    command = ["espeak-ng", "-m", *options, "--stdout", f"<speak>{said}</speak>"]
    spoken = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(spoken[WAV_HEADER_BYTES:], np.int16)


def split(wave: NDArray[np.int16]) -> list[NDArray[np.int16]]:
    """The pieces between pauses, each with 20 ms around it."""
    loud = np.flatnonzero(np.abs(wave.astype(np.int32)) > SILENT_LEVEL)
    cuts = np.flatnonzero(np.diff(loud) > SILENT_S * ESPEAK_HZ)
    starts, ends = loud[np.r_[0, cuts + 1]], loud[np.r_[cuts, -1]]
    margin = ESPEAK_HZ // 50
    return [wave[max(0, start - margin) : end + margin] for start, end in zip(starts, ends, strict=True)]


def _resample(wave: NDArray[np.int16], up: int) -> Wave:
    resampled = resample_poly(wave.astype(np.float32), up, 441)
    return (resampled / np.abs(resampled).max()).astype(np.float32)
