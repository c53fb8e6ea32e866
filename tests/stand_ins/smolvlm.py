"""A tiny SmolVLM of random weights in transformers.js' layout, and what transformers answers with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "data" / "smolvlm"
# Of tests/data/make_smolvlm_answers.py: images' sizes, chat, tokens of prompt and answer.
ANSWERS = json.loads(found.read_text()) if (found := FOLDER / "answers.json").is_file() else []
EDGE, TOKENS_PER_TILE = 16, 4


def draw(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image whose every pixel tells its place: uint8 [height, width, 3]."""
    rows, columns = np.mgrid[:height, :width]
    red, green = (rows * 37 + columns * 11) % 256, (rows * rows + 3 * columns) % 256
    blue = np.where((rows // 5 + columns // 3) % 2, 250, (rows * columns) % 97)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def write_smolvlm(folder: Path, splits: bool = True, model_type: str = "idefics3") -> Path:
    """A folder as one from the Hub; `splits`: its `do_image_splitting`."""
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("answers.json"))
    change_json(folder / "preprocessor_config.json", do_image_splitting=splits)
    change_json(folder / "config.json", model_type=model_type)
    return folder


def change_json(path: Path, **values: Any) -> None:
    """Writes these keys into a file with an object."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
