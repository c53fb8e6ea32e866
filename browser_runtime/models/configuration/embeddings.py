"""What the files of a text-embedding model ask for, as sentence-transformers obeys them.

Source: sentence-transformers 6.2, `base/model.py` (prompts) and `base/modules/transformer.py` (token limit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.keys import refuse_unknown, require
from browser_runtime.models.configuration.sentence_modules import (
    DEFAULT_MODULES,
    Module,
    Normalize,
    Pooling,
    from_plain,
    read_modules,
    to_plain,
)
from browser_runtime.models.json_files import read_object
from browser_runtime.models.manifest import StoredModel

CONFIG_FILE = "config_sentence_transformers.json"
# The first that is there counts; the others are of old versions.
TRANSFORMER_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
# Values with which a key changes nothing here; of a key with None, every value.
TRANSFORMER_VALUES: dict[str, tuple[Any, ...] | None] = {
    "max_seq_length": None,
    "do_lower_case": None,
    "transformer_task": ("feature-extraction",),
    "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
    "module_output_name": ("token_embeddings",),
    "processing_kwargs": ({}, None),
    "unpad_inputs": None,
    "query_length": (None,),
    "document_length": (None,),
    "query_expansion": (None,),
    **{f"{part}_{old}": ({},) for part in ("config",) for old in ("args", "kwargs")},
    "tokenizer_args": ({},),
    "processor_kwargs": ({},),
    "model_args": ({}, *({"add_pooling_layer": value} for value in (False, True))),
    "model_kwargs": ({}, *({"add_pooling_layer": value} for value in (False, True))),
}
CONFIG_KEYS = (
    *("__version__", "requirements", "model_type"),
    *("prompts", "default_prompt_name", "similarity_fn_name"),
)
# Tokenizers without a limit say 1e30.
NO_LIMIT = 1_000_000
# For a model whose files name none: BERT's.
USUAL_MAX_TOKENS = 512
# Their first token has the position after the padding token's id: 512 of RoBERTa's 514 are for tokens
# (transformers, create_position_ids_from_input_ids).
COUNT_FROM_PADDING = frozenset(
    (
        *("camembert", "data2vec-text", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    )
)


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """From a text to its embedding: everything but the graph."""

    max_tokens: int
    """The most tokens of a text, special ones included."""
    modules: tuple[Module, ...] = DEFAULT_MODULES
    """What follows the graph; first of all a pooling."""
    is_assumed: bool = False
    """The files name no pooling: the mean was taken, and normalised."""
    lower_case: bool = False
    """Texts are lower-cased, whatever the tokenizer does."""
    prompts: dict[str, str] = field(default_factory=dict)
    """By name, what may be put before a text."""
    default_prompt: str | None = None
    """The name of the one that is put there unless a request says otherwise."""
    similarity: str = "cosine"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What the files in `folder` say.

        Raises BadInput naming file, key and value for what is not done here, BadRequest for a broken file.
        """
        modules = read_modules(folder)
        transformer = _read_transformer(folder)
        lower_case = transformer.get("do_lower_case") or False
        require(
            "do_lower_case", TRANSFORMER_FILES[0], lower_case, isinstance(lower_case, bool), "true or false"
        )
        return cls(
            max_tokens=_max_tokens(folder, transformer),
            modules=modules or DEFAULT_MODULES,
            is_assumed=modules is None,
            lower_case=lower_case,
            **_read_config(folder),
        )

    @classmethod
    def of_model(cls, model: StoredModel) -> Self:
        """The plan of a stored model. One from before modules had a list of their own is read anew.

        Raises BadInput where such a model asks for what was not done then, and is not done now.
        """
        settings = model.settings
        if "modules" not in settings and "modules.json" in model.files:
            return cls.read(model.folder)
        return cls.of_settings(settings)

    @property
    def pooling(self) -> Pooling:
        """The first module."""
        pooling = self.modules[0]
        assert isinstance(pooling, Pooling), f"{self.modules} does not begin with a pooling"
        return pooling

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Self:
        """The plan that a manifest holds: as `to_settings` wrote it, or the catalogue's short form.

        The short form, `pooling` and `normalize`, is for models whose own files tell neither.
        """
        values: dict[str, Any] = {"max_tokens": USUAL_MAX_TOKENS}
        values |= {name: settings[name] for name in cls.__dataclass_fields__ if name in settings}
        if "pooling" in settings:
            values["modules"] = _short_form(settings)
            values["is_assumed"] = False
        elif "modules" in settings:
            values["modules"] = tuple(map(from_plain, settings["modules"]))
        return cls(**values)

    def to_settings(self) -> dict[str, Any]:
        """Plain values for a manifest, those at their default left out."""
        plain: dict[str, Any] = {
            "modules": [to_plain(module) for module in self.modules],
            "max_tokens": self.max_tokens,
        }
        usual = EmbeddingPlan(self.max_tokens, self.modules)
        others = (name for name in self.__dataclass_fields__ if name not in plain)
        return plain | {
            name: getattr(self, name) for name in others if getattr(self, name) != getattr(usual, name)
        }

    def prompt(self, options: dict[str, Any]) -> str:
        """What a request with these options puts before its texts. Raises BadInput for an unknown name."""
        text, name = options.get("prompt"), options.get("prompt_name")
        if text is not None and name is not None:
            raise BadInput("options.prompt_name", repr(name), "left out beside options.prompt")
        if text is not None:
            return str(text)
        if name is None:
            name = self.default_prompt
        if name is not None and name not in self.prompts:
            known = ", ".join(sorted(self.prompts)) or "this model has no prompts"
            raise BadInput("options.prompt_name", repr(name), f"one of the model's: {known}")
        return "" if name is None else self.prompts[name]


def _short_form(settings: dict[str, Any]) -> tuple[Module, ...]:
    pooling = Pooling((settings["pooling"],))
    return (pooling, Normalize()) if settings.get("normalize", True) else (pooling,)


def _read_transformer(folder: Path) -> dict[str, Any]:
    """sentence_bert_config.json, or what it was called before. Raises BadInput for what is not done here."""
    name = next((name for name in TRANSFORMER_FILES if (folder / name).is_file()), TRANSFORMER_FILES[0])
    values = read_object(folder / name)
    refuse_unknown(values, TRANSFORMER_VALUES, name)
    for key, value in values.items():
        done = TRANSFORMER_VALUES[key]
        if done is not None:
            require(key, name, value, value in done, " or ".join(map(repr, done)))
    return values


def _read_config(folder: Path) -> dict[str, Any]:
    """Prompts and similarity. Raises BadInput for what is not done here."""
    values = read_object(folder / CONFIG_FILE)
    refuse_unknown(values, CONFIG_KEYS, CONFIG_FILE)
    kind = values.get("model_type", "SentenceTransformer")
    require("model_type", CONFIG_FILE, kind, kind == "SentenceTransformer", "'SentenceTransformer'")
    prompts = values.get("prompts") or {}
    are_texts = isinstance(prompts, dict) and all(isinstance(text, str) for text in prompts.values())
    require("prompts", CONFIG_FILE, prompts, are_texts, "an object of texts")
    default = values.get("default_prompt_name")
    known = default is None or default in prompts
    require("default_prompt_name", CONFIG_FILE, default, known, f"one of {', '.join(prompts) or 'prompts'}")
    similarity = values.get("similarity_fn_name") or "cosine"
    require(
        "similarity_fn_name",
        CONFIG_FILE,
        similarity,
        similarity in SIMILARITIES,
        f"one of {', '.join(SIMILARITIES)}",
    )
    return {"prompts": prompts, "default_prompt": default, "similarity": similarity}


def _max_tokens(folder: Path, transformer: dict[str, Any]) -> int:
    """Where sentence-transformers cuts, and never more than there are positions."""
    told = _limit(transformer.get("max_seq_length")) or _limit(
        read_object(folder / "tokenizer_config.json").get("model_max_length")
    )
    limits = [told, _limit(_positions(read_object(folder / "config.json")))]
    return min((limit for limit in limits if limit is not None), default=USUAL_MAX_TOKENS)


def _positions(config: dict[str, Any]) -> Any:
    """How many tokens have a position of their own."""
    positions = config.get("max_position_embeddings")
    if config.get("model_type") in COUNT_FROM_PADDING and isinstance(positions, int):
        return positions - config.get("pad_token_id", 1) - 1
    return positions


def _limit(value: Any) -> int | None:
    """A limit that is one: sentence-transformers 6 writes 256, tokenizers without one 1e30."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < NO_LIMIT else None
