"""tones-whisper on disk: tokenizer, configurations, ONNX graphs, examples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import soundfile
from optimum.exporters.onnx import main_export
from transformers import GenerationConfig, WhisperForConditionalGeneration

from training.manifests import BUILTIN, write_json, write_manifest
from training.mels import EXTRACTOR
from training.utterances import Utterance
from training.voices import RATE_HZ

FOLDER = BUILTIN / "tones-whisper"
KEYS_BY_ID = "0123456789*#"
END, START, NO_TIMESTAMPS = 12, 13, 14
SPECIAL = {END: "<|endoftext|>", START: "<|startoftranscript|>", NO_TIMESTAMPS: "<|notimestamps|>"}
GRAPHS = ("encoder_model.onnx", "decoder_model.onnx", "decoder_model_merged.onnx")
SOURCE = (
    "Trained by training/tones.py on digits spoken by espeak-ng 1.51's voices "
    "and on the tones of telephone keys (ITU-T Q.23), all synthesised by the script"
)
# What follows transcription in one call; the longest test utterance has 18 keys.
MAX_LENGTH = 40


def write(model: WhisperForConditionalGeneration, examples: dict[str, Utterance]) -> None:
    """The model's folder in transformers.js' layout; `examples` by file name."""
    write_json(FOLDER / "preprocessor_config.json", describe_extractor())
    write_tokenizer()
    model.generation_config = GenerationConfig(
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        no_timestamps_token_id=NO_TIMESTAMPS,
        is_multilingual=False,
        return_timestamps=False,
        max_length=MAX_LENGTH,
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    write_graphs(model)
    rows = [_write_example(path, utterance) for path, utterance in examples.items()]
    write_manifest(FOLDER, family="audio", source=SOURCE, settings={}, examples=rows)


def describe_extractor() -> dict[str, object]:
    """`preprocessor_config.json`, less the filters, which follow from the other numbers."""
    plain = {key: value for key, value in EXTRACTOR.to_dict().items() if key != "mel_filters"}
    return plain | {"processor_class": "WhisperProcessor"}


def write_tokenizer() -> None:
    """A byte-level BPE without merges, Whisper's own kind, whose vocabulary is the twelve keys."""
    vocabulary = {key: index for index, key in enumerate(KEYS_BY_ID)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write_json(
        FOLDER / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [_added(index, text) for index, text in SPECIAL.items()],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": _frame(),
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": None},
        },
    )
    ends = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), SPECIAL[END])
    write_json(
        FOLDER / "tokenizer_config.json",
        ends
        | {
            "tokenizer_class": "WhisperTokenizer",
            "processor_class": "WhisperProcessor",
            "model_max_length": MAX_LENGTH,
            "clean_up_tokenization_spaces": False,
            "added_tokens_decoder": {str(index): _flags(text) for index, text in SPECIAL.items()},
        },
    )
    write_json(FOLDER / "special_tokens_map.json", ends)


def _added(index: int, text: str) -> dict[str, object]:
    return {"id": index, **_flags(text)}


def _flags(text: str) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": text, **flags, "special": True}


def _frame() -> dict[str, object]:
    """Start and no-timestamps before a text, end after it."""
    sequence = [
        {"SpecialToken": {"id": SPECIAL[START], "type_id": 0}},
        {"SpecialToken": {"id": SPECIAL[NO_TIMESTAMPS], "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": SPECIAL[END], "type_id": 0}},
    ]
    tokens = {text: {"id": text, "ids": [index], "tokens": [text]} for index, text in SPECIAL.items()}
    pair = [*sequence[:-1], {"Sequence": {"id": "B", "type_id": 1}}, sequence[-1]]
    return {"type": "TemplateProcessing", "single": sequence, "pair": pair, "special_tokens": tokens}


def write_graphs(model: WhisperForConditionalGeneration) -> None:
    """config.json, generation_config.json and the three graphs, as optimum exports them."""
    with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as target:
        model.save_pretrained(source)
        EXTRACTOR.save_pretrained(source)
        main_export(
            source,
            target,
            task="automatic-speech-recognition-with-past",
            device="cpu",
            do_validation=False,
            nb_max_frames=EXTRACTOR.nb_max_frames,  # it takes every Whisper's window for 30 s
        )
        (FOLDER / "onnx").mkdir(parents=True, exist_ok=True)
        for name in GRAPHS:
            onnx.save(onnx.load(Path(target, name)), FOLDER / "onnx" / name)
        for name in ("config.json", "generation_config.json"):
            (FOLDER / name).write_bytes(Path(source, name).read_bytes())


def _write_example(path: str, utterance: Utterance) -> dict[str, object]:
    """The utterance as 16-bit FLAC, and its text."""
    (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(FOLDER / path, utterance.wave, RATE_HZ, subtype="PCM_16")
    return {"input": path, "expected": {"text": utterance.text}}
