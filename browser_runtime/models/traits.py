"""What a model folder's own JSON files tell: its family, how its embeddings are pooled, what it must hold."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import SERVED_FAMILIES, Family, Precision
from browser_runtime.models.configuration.embeddings import CONFIG_FILE, TRANSFORMER_FILES, EmbeddingPlan
from browser_runtime.models.configuration.sentence_modules import MODULES_FILE, list_files
from browser_runtime.models.graphs import graph_paths

# Small files that transformers.js or the settings read, where the repository has them.
WANTED = {
    Family.TEXT_EMBEDDING: (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        MODULES_FILE,
        CONFIG_FILE,
        *TRANSFORMER_FILES,
    ),
    Family.VISION: ("config.json", "preprocessor_config.json"),
    Family.AUDIO: (
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ),
}
# Without these no page can run the family.
REQUIRED = {
    Family.TEXT_EMBEDDING: ("config.json", "tokenizer.json"),
    Family.VISION: ("config.json", "preprocessor_config.json"),
    Family.AUDIO: ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"),
}
# transformers.js opens no tokenizer without the file, and takes its usual one where that says nothing.
EMPTY_WILL_DO = {
    Family.TEXT_EMBEDDING: (),
    Family.VISION: (),
    Family.AUDIO: ("tokenizer_config.json",),
}
TOKENIZER = "tokenizer.json"
TOKENIZER_ADVICE = "transformers writes it: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
PIPELINES = {
    "feature-extraction": Family.TEXT_EMBEDDING,
    "sentence-similarity": Family.TEXT_EMBEDDING,
    "image-classification": Family.VISION,
    "automatic-speech-recognition": Family.AUDIO,
}


def choose_files(
    name: str, family: Family, precision: Precision, paths: list[str], modules: Any = None
) -> list[str]:
    """The files among `paths` that `family` needs in `precision`, besides what its graphs name as weights.

    `modules`: what its modules.json holds, where it has one. Raises BadRequest naming what lacks.
    """
    require_files(name, family, paths)
    graphs = graph_paths(family, precision, paths)
    if graphs is None:
        there = [str(other) for other in Precision if graph_paths(family, other, paths)]
        allowed = (
            f"one of {', '.join(there)}" if there else "another model: it holds no ONNX graphs for its family"
        )
        raise BadInput("precision", f"{str(precision)!r}, which model {name!r} does not have", allowed)
    return [*(path for path in wanted_files(family, modules) if path in paths), *graphs]


def require_files(name: str, family: Family, paths: Collection[str]) -> None:
    """Returns where `paths` hold what no page can do without. Raises BadRequest naming what lacks."""
    missing = [path for path in REQUIRED[family] if path not in paths]
    if not missing:
        return
    advice = f"; {TOKENIZER_ADVICE}" if TOKENIZER in missing else ""
    raise BadRequest(f"model {name!r} has no {', '.join(missing)}, which {family} needs{advice}")


def wanted_files(family: Family, modules: Any = None) -> list[str]:
    """The files besides graphs and their weights that `family` reads, where a model has them."""
    beside = list_files(modules or {}) if family is Family.TEXT_EMBEDDING else []
    return [*WANTED[family], *beside]


def complete_files(folder: Path, family: Family, paths: Collection[str]) -> list[str]:
    """The files that a page cannot do without and that may be empty, made where a model came without them."""
    made = [path for path in EMPTY_WILL_DO[family] if path not in paths]
    for path in made:
        (folder / path).write_text("{}\n", encoding="utf-8")
    return made


def infer_family(name: str, config: dict[str, Any], pipeline: str | None = None) -> Family:
    """The family by architecture, model type, or the Hub's pipeline tag. Raises BadInput asking for one."""
    architectures = [str(entry) for entry in config.get("architectures") or ()]
    if config.get("model_type") == "whisper":
        return Family.AUDIO
    if any(entry.endswith("ForImageClassification") for entry in architectures):
        return Family.VISION
    if any(entry.endswith(("Model", "ForMaskedLM")) for entry in architectures) and "vocab_size" in config:
        return Family.TEXT_EMBEDDING
    if pipeline in PIPELINES and PIPELINES[pipeline] is not Family.AUDIO:
        return PIPELINES[pipeline]
    told = f"not to be told from its config.json (model_type {config.get('model_type')!r}, {architectures})"
    raise BadInput(f"the family of model {name!r}", told, f"given as one of {', '.join(SERVED_FAMILIES)}")


def read_settings(folder: Path, family: Family) -> dict[str, Any]:
    """The manifest's settings: how a text's token vectors become its embedding; {} for other families.

    Raises BadInput where the files ask for what is not done here.
    """
    return EmbeddingPlan.read(folder).to_settings() if family is Family.TEXT_EMBEDDING else {}
