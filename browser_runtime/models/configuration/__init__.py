"""What a model's own configuration files ask for: done as Hugging Face does it, or refused by name.

One module a family reads the files into a plan, with an allow-list of keys and values. The plan is made of
plain values; page and simulation obey it and read no configuration themselves.
"""

from __future__ import annotations

from pathlib import Path

from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.configuration.embeddings import EmbeddingPlan
from browser_runtime.models.configuration.plans import ModelPlan, read_plan

__all__ = ["ModelPlan", "check_configuration", "read_plan"]


def check_configuration(folder: Path, family: Family) -> None:
    """Returns where everything that the files in `folder` ask for is done here.

    Raises BadInput naming the file, the key, its value and what is allowed.
    """
    if family is Family.TEXT_EMBEDDING:
        _check_texts(folder)
    else:
        read_plan(folder, family)
    if family is Family.AUDIO:
        _check_transcripts(folder)


def _check_texts(folder: Path) -> None:
    # They read plans of this package themselves.
    from browser_runtime.texts.module_weights import with_weights
    from browser_runtime.texts.tokenizer import TextTokenizer

    plan = EmbeddingPlan.read(folder)
    with_weights(folder, plan.modules)
    TextTokenizer(folder, plan.max_tokens, plan.lower_case)


def _check_transcripts(folder: Path) -> None:
    from browser_runtime.texts.transcripts import TranscriptReader

    TranscriptReader(folder)
