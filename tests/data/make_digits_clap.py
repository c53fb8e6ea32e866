"""Writes tests/unit/data/digits_clap.json: what transformers' CLAP makes of sounds and phrases.

Run in the environment of training/requirements.txt, on the weights that training kept in a folder:

    python -m training.digits_clap /tmp/digits-clap
    PYTHONPATH=<this repository> python tests/data/make_digits_clap.py /tmp/digits-clap

The sounds are the built-in model's examples; features of other extractors are those of a rising tone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers
from transformers import ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizerFast

FOLDER = Path(__file__).parents[2] / "browser_runtime/models/builtin/digits-clap"
TARGET = Path(__file__).parents[1] / "unit/data/digits_clap.json"
PHRASES = ["seven", "a spoken nine", "the telephone key 2", "This is a sound of an even number.", "a human voice"]
# Of each extractor's many values, every 61st: 61 divides no usual size.
STRIDE = 61
EXTRACTORS: list[dict[str, Any]] = [
    {"max_length_s": 10, "truncation": "rand_trunc", "frequency_min": 50},
    {"max_length_s": 2, "truncation": "rand_trunc", "padding": "repeat", "feature_size": 40},
    {
        "max_length_s": 3,
        "truncation": "rand_trunc",
        "padding": "pad",
        "fft_window_size": 768,
        "hop_length": 300,
        "frequency_max": 20_000,
    },
]


def main() -> None:
    """Features, embeddings, logits and probabilities."""
    model = ClapModel.from_pretrained(sys.argv[1]).eval()
    tokenizer = RobertaTokenizerFast(tokenizer_file=str(FOLDER / "tokenizer.json"), model_max_length=48)
    processor = ClapProcessor(ClapFeatureExtractor.from_pretrained(FOLDER), tokenizer)
    # Apart, as transformers' pipeline: the processor hands `padding` of its texts to the sounds too.
    paths = [example["input"] for example in json.loads((FOLDER / "webinfer.json").read_text())["examples"]]
    sounds = [soundfile.read(FOLDER / path, dtype="float32")[0] for path in paths]
    inputs = processor(text=PHRASES, return_tensors="pt", padding=True)
    inputs |= processor(audio=sounds, sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        whole = model(**{name: inputs[name] for name in ("input_ids", "attention_mask", "input_features")})
        texts = model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
        heard = model.get_audio_features(inputs["input_features"])
    document = {
        "transformers": transformers.__version__,
        "sounds": paths,
        "phrases": PHRASES,
        "text_features": round_all(texts),
        "audio_features": round_all(heard),
        "logits_per_audio": round_all(whole.logits_per_audio),
        "probabilities": round_all(whole.logits_per_audio.softmax(dim=1)),
        "stride": STRIDE,
        "features": [extract(keys) for keys in EXTRACTORS],
    }
    TARGET.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def extract(keys: dict[str, Any]) -> dict[str, Any]:
    """The keys of an extractor, the shape of its features and some of them."""
    sound = (0.5 * np.sin(1e-5 * np.arange(30_000) ** 2)).astype(np.float32)
    features = ClapFeatureExtractor(**keys)(sound, sampling_rate=48_000, return_tensors="np")["input_features"]
    values = [round(float(value), 3) for value in features.ravel()[::STRIDE]]
    return {"preprocessor": keys, "shape": list(features.shape[1:]), "values": values}


def round_all(tensor: torch.Tensor) -> list[list[float]]:
    """Six digits of each number."""
    return [[round(float(value), 6) for value in row] for row in tensor]


if __name__ == "__main__":
    main()
