"""Utterances to train and test on: spoken or dialled digits with gaps, loudness, tone and noise of all kinds."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from training.voices import RATE_HZ, Piece, Wave

# ITU-T Q.23: each key of a telephone sounds one low and one high tone.
ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477)
KEYS = "123456789*0#"
LONGEST_S = 6.2
DIALLED_SHARE = 0.2
SILENT_SHARE = 0.02


@dataclass(frozen=True)
class Utterance:
    """A recording at 16 kHz, float32 in -1..1, and its text."""

    text: str
    wave: Wave


def say(takes: list[list[Piece]], chance: random.Random) -> Utterance:
    """A random utterance: mostly spoken by one voice of `takes`, some dialled, a few only noise."""
    kind = chance.random()
    if kind < SILENT_SHARE:
        return Utterance("", _spoil(np.zeros(int(chance.uniform(0.2, 3) * RATE_HZ), np.float32), chance))
    pieces = _dial(chance) if kind < SILENT_SHARE + DIALLED_SHARE else _pick(chance.choice(takes), chance)
    return join(pieces, chance)


def join(pieces: list[Piece], chance: random.Random, longest_s: float = LONGEST_S) -> Utterance:
    """The pieces one after another with random gaps, as many as fit, spoilt as a recording is."""
    text, waves, n_samples = "", [_gap(chance)], 0
    for piece in pieces:
        n_samples += len(piece.wave) + RATE_HZ // 2
        if text and n_samples > longest_s * RATE_HZ:
            break
        text += piece.text
        waves += [piece.wave * np.float32(chance.uniform(0.6, 1)), _gap(chance)]
    return Utterance(text, _spoil(np.concatenate(waves), chance))


def _gap(chance: random.Random) -> Wave:
    return np.zeros(int(chance.triangular(0.0, 0.5, 0.08) * RATE_HZ), np.float32)


def _pick(take: list[Piece], chance: random.Random) -> list[Piece]:
    """One to ten of a voice's pieces, either single words alone or mixed with fluent runs."""
    words, runs = take[:10], take[10:]
    share = chance.choice((0.0, 0.5, 1.0))
    return [chance.choice(runs if chance.random() < share else words) for _ in range(chance.randint(1, 10))]


def _dial(chance: random.Random) -> list[Piece]:
    """One to twelve keys pressed on one telephone."""
    return [sound_key(chance.choice(KEYS), chance.uniform(0.06, 0.3)) for _ in range(chance.randint(1, 12))]


def sound_key(key: str, length_s: float) -> Piece:
    """The two tones of `key`."""
    row, column = divmod(KEYS.index(key), 3)
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    tones = np.sin(2 * np.pi * ROWS_HZ[row] * time_s) + np.sin(2 * np.pi * COLUMNS_HZ[column] * time_s)
    return Piece(key, (tones / 2).astype(np.float32))


def _spoil(wave: Wave, chance: random.Random) -> Wave:
    """The same as a microphone hears it: tinted, at some loudness, with some noise."""
    generator = np.random.default_rng(chance.getrandbits(32))
    tilt = np.float32(chance.uniform(-0.6, 0.4))
    tinted = wave + tilt * np.concatenate([np.zeros(1, np.float32), wave[:-1]])
    noise = generator.standard_normal(len(wave)).astype(np.float32)
    noise[1:] += np.float32(chance.uniform(0, 0.9)) * noise[:-1]
    level = np.float32(10 ** chance.uniform(-4, -1.6))
    loudness = np.float32(10 ** chance.uniform(-1.3, 0))
    return np.clip((tinted + level * noise) * loudness, -1, 1).astype(np.float32)
