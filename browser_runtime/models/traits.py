"""What a model folder's own JSON files tell: its family, how its embeddings are pooled, what it must hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import SERVED_FAMILIES, Family, Precision
from browser_runtime.models.graphs import data_paths, graph_paths

# Small files that transformers.js or the settings read, where the repository has them.
WANTED = {
    Family.TEXT_EMBEDDING: (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
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
PIPELINES = {
    "feature-extraction": Family.TEXT_EMBEDDING,
    "sentence-similarity": Family.TEXT_EMBEDDING,
    "image-classification": Family.VISION,
    "automatic-speech-recognition": Family.AUDIO,
}
# Hugging Face's pooling modes that both page and simulation compute.
POOLING_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
# Tokenizers without a limit say 1e30.
NO_LIMIT = 1_000_000


def choose_files(name: str, family: Family, precision: Precision, paths: list[str]) -> list[str]:
    """The files among `paths` that `family` needs in `precision`. Raises BadRequest naming what lacks."""
    missing = [path for path in REQUIRED[family] if path not in paths]
    if missing:
        raise BadRequest(f"model {name!r} has no {', '.join(missing)}, which {family} needs")
    graphs = graph_paths(family, precision, paths)
    if graphs is None:
        there = [str(other) for other in Precision if graph_paths(family, other, paths)]
        allowed = (
            f"one of {', '.join(there)}" if there else "another model: it holds no ONNX graphs for its family"
        )
        raise BadInput("precision", f"{str(precision)!r}, which model {name!r} does not have", allowed)
    weights = [path for graph in graphs for path in data_paths(graph, paths)]
    return [path for path in WANTED[family] if path in paths] + [*graphs, *weights]


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


def read_json(path: Path) -> Any:
    """The JSON value in the file, {} where there is none. Raises BadRequest where it is broken."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadRequest(f"{path.name} is not JSON: {error}") from error


def read_settings(folder: Path, family: Family) -> dict[str, Any]:
    """The manifest's settings: how a text's token vectors become its embedding; {} for other families.

    Source: the files that sentence-transformers writes (modules.json, 1_Pooling/config.json,
    sentence_bert_config.json); an encoder without them is mean-pooled and normalised.
    """
    if family is not Family.TEXT_EMBEDDING:
        return {}
    modules = read_json(folder / "modules.json")
    names = [str(module.get("type", "")) for module in modules] if isinstance(modules, list) else []
    return {
        "pooling": _pooling(read_json(folder / "1_Pooling" / "config.json")),
        "normalize": any(name.endswith("Normalize") for name in names) if names else True,
        "max_tokens": _max_tokens(folder),
    }


def _pooling(config: dict[str, Any]) -> str:
    told = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if isinstance(mode := config.get("pooling_mode"), str):  # sentence-transformers from 5 on
        told = [f"pooling_mode_{mode}_{'token' if mode == 'cls' else 'tokens'}"]
    if not told:
        return "mean"
    if len(told) > 1 or told[0] not in POOLING_MODES:
        raise BadRequest(f"the pooling {', '.join(told)} is not supported, only {', '.join(POOLING_MODES)}")
    return POOLING_MODES[told[0]]


def _max_tokens(folder: Path) -> int:
    limits = [
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        read_json(folder / "config.json").get("max_position_embeddings"),
    ]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < NO_LIMIT]
    return min(known, default=512)
