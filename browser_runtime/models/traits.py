"""What a model folder's own JSON files tell: its family, how its embeddings are pooled, what it must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import SERVED_FAMILIES, Family, Precision
from browser_runtime.models.graphs import graph_paths
from browser_runtime.models.json_files import read_json, read_object

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
# Their first token has the position after the padding token's id: 512 of RoBERTa's 514 are for tokens
# (transformers, create_position_ids_from_input_ids).
COUNT_FROM_PADDING = frozenset(
    (
        *("camembert", "data2vec-text", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    )
)


def choose_files(name: str, family: Family, precision: Precision, paths: list[str]) -> list[str]:
    """The files among `paths` that `family` needs in `precision`, besides what its graphs name as weights.

    Raises BadRequest naming what lacks.
    """
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
    return [*(path for path in WANTED[family] if path in paths), *graphs]


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
    """The most tokens of a text: as sentence-transformers cuts, and never more than there are positions."""
    told = _limit(read_object(folder / "sentence_bert_config.json").get("max_seq_length")) or _limit(
        read_object(folder / "tokenizer_config.json").get("model_max_length")
    )
    limits = [told, _limit(_positions(read_object(folder / "config.json")))]
    return min((limit for limit in limits if limit is not None), default=512)


def _positions(config: dict[str, Any]) -> Any:
    """How many tokens have a position of their own."""
    positions = config.get("max_position_embeddings")
    if config.get("model_type") in COUNT_FROM_PADDING and isinstance(positions, int):
        return positions - config.get("pad_token_id", 1) - 1
    return positions


def _limit(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < NO_LIMIT else None
