"""Language models as ONNX graphs: tiny ones of transformers, and the built-in model in each precision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from browser_runtime.contract.family_spec import ONNX_SUFFIXES
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.models.intake.export_decoder import export_decoder
from browser_runtime.models.store import BUILTIN_FOLDER

DATA = Path(__file__).parents[1] / "data" / "language_graphs"
# Of tests/data/make_language_graphs.py: greedy tokens of each model behind each prompt, by transformers.
REFERENCE = json.loads((DATA / "answers.json").read_text())
GRAPHS = {"llama": ("llama.onnx", "model.onnx"), "qwen2": ("qwen2_merged.onnx", "decoder_model_merged.onnx")}
BUILTIN = BUILTIN_FOLDER / "numbers-llama"
BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"


def write_language_graph(folder: Path, kind: str) -> Path:
    """A repository of transformers.js with a tiny model of random weights; its tokens are bytes."""
    source, target = GRAPHS[kind]
    (folder / "onnx").mkdir(parents=True)
    shutil.copyfile(DATA / source, folder / "onnx" / target)
    shutil.copyfile(DATA / f"{kind}.json", folder / "config.json")
    write_byte_tokenizer(folder)
    return folder


def write_byte_tokenizer(folder: Path) -> None:
    """A tokenizer whose tokens are the 256 bytes, and three special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = [chr(byte) if _is_printed(byte) else "" for byte in range(256)]
    spare = iter(range(256, 512))
    vocabulary = {letter or chr(next(spare)): byte for byte, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BEGIN, END, PAD])
    tokenizer.save(str(folder / "tokenizer.json"))


def _is_printed(byte: int) -> bool:
    """True for the bytes that GPT-2's alphabet writes as themselves."""
    return 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255


def write_numbers_graphs(folder: Path, precisions: Sequence[Precision]) -> Path:
    """numbers-llama in transformers.js' layout, of the very weights that its 4 bits stand for."""
    folder.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(BUILTIN / name, folder / name)
    weights = PackedModel.open(BUILTIN / "4bit")
    for precision in precisions:
        export_decoder(weights, folder / "onnx" / f"model{ONNX_SUFFIXES[precision][0]}.onnx", precision)
    return folder
