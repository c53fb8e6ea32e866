"""Writes nested_processors.json: the processor_config.json that transformers 5 saves for built-in models.

Run once, in an environment of its own; the tests need neither torch nor transformers:

    pip install torch==2.13.0 transformers==5.24.0 pillow
    python tests/data/make_nested_processors.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from transformers import AutoProcessor, AutoTokenizer, WhisperFeatureExtractor, WhisperProcessor

BUILTIN = Path(__file__).parents[2] / "browser_runtime" / "models" / "builtin"
TARGET = Path(__file__).with_name("nested_processors.json")


def save(name: str) -> dict[str, object]:
    """The file that the model's processor is saved in."""
    source = BUILTIN / name
    if name == "tones-whisper":
        extractor = WhisperFeatureExtractor.from_pretrained(source)
        processor = WhisperProcessor(extractor, AutoTokenizer.from_pretrained(source))
    else:
        processor = AutoProcessor.from_pretrained(source)
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        assert not (Path(folder) / "preprocessor_config.json").exists()
        return json.loads((Path(folder) / "processor_config.json").read_text())


if __name__ == "__main__":
    saved = {name: save(name) for name in ("tones-whisper", "digits-clip", "digits-clap", "digits-llava")}
    TARGET.write_text(json.dumps(saved, indent=1) + "\n")
