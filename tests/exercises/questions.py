"""Questions whose right answers are known: the examples that the built-in models come with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.family_spec import AnswerSpec
from browser_runtime.models.manifest import MANIFEST
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.session.golden import Golden

MODELS = {"sentences-bert": "text_embedding", "digits-vit": "vision", "tones-whisper": "audio"}


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask a model, and what it must answer."""

    model_type: str
    model_name: str
    inputs: Any
    golden: Golden

    def mismatch(self, result: dict[str, Any]) -> str:
        """What is wrong with a result; empty where it is right."""
        if not result["success"]:
            return str(result["error"]["message"])
        if result["is_simulation"]:
            return "a simulation answered"
        return self.golden.mismatch(result["output"])


def read_questions(model_name: str) -> list[Question]:
    """Every example of a built-in model."""
    folder = BUILTIN_FOLDER / model_name
    examples = json.loads((folder / MANIFEST).read_text())["examples"]
    return [_read_question(folder, model_name, example) for example in examples]


def _read_question(folder: Path, model_name: str, example: dict[str, Any]) -> Question:
    family = FAMILIES[MODELS[model_name]]
    inputs = example["input"] if family.inputs.is_text else folder / example["input"]
    return Question(
        family.name, model_name, inputs, _read_expected(folder, family.answer, example["expected"])
    )


def _read_expected(folder: Path, answer: AnswerSpec, expected: dict[str, Any]) -> Golden:
    if answer.word:
        return Golden(None, answer, word=expected[answer.word[-1]])
    rows = np.load(folder / expected[answer.numbers], allow_pickle=False)
    return Golden(None, answer, vector=rows[expected["row"]].astype(np.float64))
