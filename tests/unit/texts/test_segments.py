"""Time stamps: the tokens that transformers chooses with them, and the segments that it makes of windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from browser_runtime.simulation.decoding import choose_token
from browser_runtime.texts.segments import SegmentJoiner, Window

# Made by transformers: tests/page/fixtures/make_whisper_stamps.py.
STORED = json.loads((Path(__file__).parents[2] / "page/fixtures/whisper_stamps.json").read_text())


def test_the_tokens_are_those_that_transformers_chooses() -> None:
    for case in STORED["steps"]:
        logits = np.array(case["logits"], np.float32)
        found = choose_token(logits, tuple(case["barred"]), case["tokens"], case["rules"])
        assert found == case["token"], case


def test_the_segments_are_those_of_transformers() -> None:
    joiner = SegmentJoiner(STORED["begin"], STORED["precision"], STORED["special"])
    for case in STORED["merges"]:
        segments = joiner.join([Window(**window) for window in case["windows"]])
        found = [
            {
                "timestamp": [each.start_s, each.end_s],
                "text": "".join(f" {token}" for token in each.tokens),
            }
            for each in segments
        ]
        assert found == case["chunks"]


def test_a_silent_sound_has_no_segments() -> None:
    assert SegmentJoiner(44, 0.02, ()).join([Window([], 0.0, 2.0)]) == []
    assert SegmentJoiner(44, 0.02, ()).join([Window([44, 44], 0.0, 2.0)]) == []
