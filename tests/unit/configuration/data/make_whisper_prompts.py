"""Writes whisper_prompts.json: the prompts and lengths that transformers decodes a Whisper with.

Run in an environment of its own; the tests need neither torch nor transformers:

    pip install torch==2.14.1 transformers==5.24.0
    python make_whisper_prompts.py whisper_prompts.json

A Whisper of random weights whose end token is suppressed generates until it may not go on; what its decoder
was given first is the prompt. It always hears German, so what is recognised can be told from what was given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

END, START, EN, DE, TRANSCRIBE, TRANSLATE, SILENT = range(10, 17)
CONFIG = {
    "vocab_size": 17,
    "num_mel_bins": 8,
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 1,
    "decoder_attention_heads": 1,
    "encoder_ffn_dim": 8,
    "decoder_ffn_dim": 8,
    "max_source_positions": 4,
    "max_target_positions": 24,
    "pad_token_id": END,
    "bos_token_id": END,
    "eos_token_id": END,
    "decoder_start_token_id": START,
}
ONE = {
    "decoder_start_token_id": START,
    "eos_token_id": END,
    "pad_token_id": END,
    "no_timestamps_token_id": SILENT,
    "suppress_tokens": [END],
    "max_length": 12,
    "is_multilingual": False,
}
MANY = ONE | {
    "is_multilingual": True,
    "lang_to_id": {"<|en|>": EN, "<|de|>": DE},
    "task_to_id": {"transcribe": TRANSCRIBE, "translate": TRANSLATE},
}
FORCED = [[1, None], [2, TRANSCRIBE]]
NO_SILENT = {key: value for key, value in MANY.items() if key != "no_timestamps_token_id"}
OLD = {key: value for key, value in ONE.items() if key != "is_multilingual"}

CHOICES: list[dict[str, Any]] = [
    {},
    {"language": "en"},
    {"task": "translate"},
    {"language": "german", "task": "translate"},
]
GENERATIONS: list[dict[str, Any]] = [
    MANY,
    NO_SILENT,
    MANY | {"forced_decoder_ids": FORCED},
    MANY | {"forced_decoder_ids": [[1, EN], [2, TRANSLATE]]},
    MANY | {"forced_decoder_ids": [[1, EN], [2, TRANSLATE], [3, SILENT]]},
    MANY | {"forced_decoder_ids": [[2, TRANSLATE]]},
    MANY | {"forced_decoder_ids": [[1, EN], [3, TRANSLATE]]},
    MANY | {"language": "<|de|>"},
    MANY | {"language": "English", "task": "translate"},
    MANY | {"language": "en", "forced_decoder_ids": [[1, DE], [2, TRANSLATE]]},
    MANY | {"task": "transcribe"},
    MANY | {"task": "sing"},
    MANY | {"language": "klingon"},
    ONE,
    ONE | {"forced_decoder_ids": [[1, SILENT]]},
    ONE | {"language": "en"},
    OLD,
    OLD | {"task_to_id": MANY["task_to_id"]},
]
LENGTHS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"max_length": 448}, {}),
    ({"max_length": 3}, {}),
    ({"max_length": 24}, {}),
    ({"max_new_tokens": 6}, {}),
    ({"max_new_tokens": 22}, {}),
    ({}, {"max_new_tokens": 5}),
    ({"max_new_tokens": 6}, {"max_new_tokens": 9}),
    ({}, {"max_new_tokens": 21}),
    ({}, {"max_new_tokens": 22}),
    ({"forced_decoder_ids": [[1, EN], [2, TRANSLATE]]}, {"max_new_tokens": 20}),
    ({"forced_decoder_ids": [[1, EN], [2, TRANSLATE]]}, {"max_new_tokens": 21}),
]


def decode(generation: dict[str, Any], config: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The prompt and how many tokens follow it; or that transformers refuses."""
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**CONFIG | config)).eval()
    model.generation_config = GenerationConfig.from_dict(generation)
    model.detect_language = lambda **_: torch.tensor([DE])
    prompts = []
    plain = model.generate_with_fallback

    def note(**given: Any) -> Any:
        prompts.append(given["decoder_input_ids"][0].tolist())
        return plain(**given)

    model.generate_with_fallback = note
    try:
        tokens = model.generate(torch.zeros(1, CONFIG["num_mel_bins"], 8), **options)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        return {"refused": f"{type(error).__name__}: {error}"[:160]}
    return {"prompt": prompts[0], "n_tokens": tokens.shape[1]}


def main(target: Path) -> None:
    """Every generation_config.json with every choice of options, and the lengths."""
    transformers.logging.set_verbosity_error()
    asked = [(generation, {}, options) for generation in GENERATIONS for options in CHOICES]
    asked += [(MANY | generation, {}, options) for generation, options in LENGTHS]
    # The older place of forced ids, which counts where generation_config.json has none.
    asked += [(MANY, {"forced_decoder_ids": [[1, EN], [2, TRANSCRIBE]]}, options) for options in CHOICES]
    cases = [
        {"generation": g, "config": {"max_target_positions": 24} | c, "options": o, **decode(g, c, o)}
        for g, c, o in asked
    ]
    document = {"transformers": transformers.__version__, "heard": DE, "cases": cases}
    target.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
