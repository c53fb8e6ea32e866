"""The test of tones-whisper: utterances of voices never trained on, through the ONNX graphs as published."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from training.mels import POSITIONS, compute_mels, lay_out
from training.tones_folder import END, KEYS_BY_ID, MAX_LENGTH, NO_TIMESTAMPS, START
from training.utterances import Utterance, dial, join, pick, sound_key
from training.voices import HELD_OUT, Piece, Wave, record

SEED = 4071
N_TAKES, N_RUNS = 4, 6
N_SPOKEN, N_DIALLED = 200, 100


def record_test() -> dict[str, list[Utterance]]:
    """The held-out utterances, always the same for one version of espeak-ng."""
    takes, chance = record(HELD_OUT, N_TAKES, N_RUNS, SEED), random.Random(SEED)
    return {
        "spoken": [join(pick(chance.choice(takes), chance), chance) for _ in range(N_SPOKEN)],
        "dialled": [join(dial(chance), chance) for _ in range(N_DIALLED)],
    }


def record_examples() -> dict[str, Utterance]:
    """Five utterances by file name: clearly spoken by held-out voices, or dialled."""
    takes, chance = record(HELD_OUT, 1, 0, SEED), random.Random(SEED)
    spoken = {"4071": takes[9], "31415": takes[4], "8": takes[0]}
    dialled = {"555-0199": _dial_clearly("5550199"), "star-21": _dial_clearly("*21#")}
    said = {f"spoken-{text}": [take[int(digit)] for digit in text] for text, take in spoken.items()}
    named = said | {f"dialled-{name}": pieces for name, pieces in dialled.items()}
    return {f"examples/{name}.flac": join(pieces, chance, 20) for name, pieces in named.items()}


def _dial_clearly(keys: str) -> list[Piece]:
    return [sound_key(key, 0.18) for key in keys]


class Transcriber:
    """The published encoder and plain decoder in onnxruntime, decoding greedily."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        names = ("encoder_model.onnx", "decoder_model.onnx")
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(str(folder / "onnx" / name), options) for name in names
        )

    def transcribe(self, wave: Wave) -> str:
        """The keys heard in `wave`."""
        mels = compute_mels(lay_out([wave], POSITIONS, [0]))[0].numpy()
        states = self.encoder.run(["last_hidden_state"], {"input_features": mels})[0]
        tokens = [START, NO_TIMESTAMPS]
        while tokens[-1] != END and len(tokens) < MAX_LENGTH:
            tokens.append(self._next(states, tokens))
        return "".join(KEYS_BY_ID[token] for token in tokens if token < len(KEYS_BY_ID))

    def _next(self, states: NDArray[np.float32], tokens: list[int]) -> int:
        feeds = {"input_ids": np.array([tokens], np.int64), "encoder_hidden_states": states}
        return int(self.decoder.run(["logits"], feeds)[0][0, -1].argmax())


def measure(folder: Path, utterances: list[Utterance]) -> float:
    """The share of `utterances` transcribed without any mistake."""
    transcriber = Transcriber(folder)
    with torch.no_grad():
        return float(np.mean([transcriber.transcribe(one.wave) == one.text for one in utterances]))
