"""Utterances to train and test on: spoken or dialled digits with gaps, loudness, tone and noise."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from training.voices import RATE_HZ, Piece, Wave

# ITU-T Q.23: each key of a telephone sounds one low and one high tone.
ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477)
KEYS = "123456789*0#"
# A small model loses count of longer numbers.
MOST_KEYS = 8
LONGEST_S = 6.2
DIALLED_SHARE = 0.2
SILENT_SHARE = 0.02


@dataclass(frozen=True)
class Utterance:
    """A recording at 16 kHz, float32 in -1..1; its text; and where in it each piece is said."""

    text: str
    wave: Wave
    spans: tuple[tuple[str, int, int], ...]
    """Text, first sample and the sample after the last, of each piece."""


def say(takes: list[list[Piece]], chance: random.Random, longest_s: float) -> Utterance:
    """A random utterance: mostly spoken by one voice of `takes`, some dialled, a few only noise."""
    kind = chance.random()
    if kind < SILENT_SHARE:
        return join([], chance, longest_s)
    pieces = dial(chance) if kind < SILENT_SHARE + DIALLED_SHARE else pick(chance.choice(takes), chance)
    return join(pieces, chance, longest_s)


def join(pieces: list[Piece], chance: random.Random, longest_s: float = LONGEST_S) -> Utterance:
    """Those of the pieces that fit, one after another with random gaps, distorted like a recording."""
    wave, spans = _gap(chance), []
    for piece in pieces:
        longer = np.concatenate([wave, piece.wave * np.float32(chance.uniform(0.6, 1)), _gap(chance)])
        if len(longer) <= longest_s * RATE_HZ:
            spans.append((piece.text, len(wave), len(wave) + len(piece.wave)))
            wave = longer
    return Utterance("".join(text for text, _, _ in spans), _spoil(wave, chance), tuple(spans))


def _gap(chance: random.Random) -> Wave:
    return np.zeros(int(chance.triangular(0.0, 0.5, 0.08) * RATE_HZ), np.float32)


def pick(take: list[Piece], chance: random.Random) -> list[Piece]:
    """A voice's pieces, one to eight digits in all: single words alone, fluent runs, or both."""
    words, runs, pieces = take[:10], take[10:], []
    share, room = chance.choice((0.0, 0.5, 1.0)), chance.randint(1, MOST_KEYS)
    while room:
        fitting = [run for run in runs if len(run.text) <= room and chance.random() < share]
        pieces.append(chance.choice(fitting or words))
        room -= len(pieces[-1].text)
    return pieces


def dial(chance: random.Random) -> list[Piece]:
    """One to eight keys pressed on one telephone."""
    n_keys = chance.randint(1, MOST_KEYS)
    return [sound_key(chance.choice(KEYS), chance.uniform(0.06, 0.3)) for _ in range(n_keys)]


def sound_key(key: str, length_s: float) -> Piece:
    """The two tones of `key`."""
    row, column = divmod(KEYS.index(key), 3)
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    tones = np.sin(2 * np.pi * ROWS_HZ[row] * time_s) + np.sin(2 * np.pi * COLUMNS_HZ[column] * time_s)
    return Piece(key, (tones / 2).astype(np.float32))


def _spoil(wave: Wave, chance: random.Random) -> Wave:
    """The sound as a microphone records it: filtered, at some loudness, with some noise."""
    generator = np.random.default_rng(chance.getrandbits(32))
    tilt = np.float32(chance.uniform(-0.6, 0.4))
    tinted = wave + tilt * np.concatenate([np.zeros(1, np.float32), wave[:-1]])
    noise = generator.standard_normal(len(wave)).astype(np.float32)
    noise[1:] += np.float32(chance.uniform(0, 0.9)) * noise[:-1]
    level = np.float32(10 ** chance.uniform(-4, -1.6))
    loudness = np.float32(10 ** chance.uniform(-1.3, 0))
    return np.clip((tinted + level * noise) * loudness, -1, 1).astype(np.float32)
