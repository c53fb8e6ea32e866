"""Plans of text-embedding models from their files, as sentence-transformers obeys them.

Source: sentence-transformers 6.2, `base/model.py` (prompts) and `base/modules/transformer.py` (token limit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypedDict

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.fields import ANYTHING, FLAG, NUMBER, Fields, Rule, only
from browser_runtime.models.configuration.sentence_modules import (
    DEFAULT_MODULES,
    SIZE,
    Module,
    Normalize,
    Pooling,
    from_plain,
    read_modules,
    to_plain,
)
from browser_runtime.models.files.json_files import Json, read_object
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
SIMILARITY = Rule(f"one of {', '.join(SIMILARITIES)}", lambda value: value in SIMILARITIES)
COLBERT = Rule("left out: it is for models with a vector a token", lambda _: False)
NO_ARGUMENTS = only({}, why="none is passed on here")
# Whether a model has a pooler of its own changes none of its tokens' vectors.
MODEL_ARGUMENTS = only(
    {}, {"add_pooling_layer": False}, {"add_pooling_layer": True}, why="no other is passed on here"
)
TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
TRANSFORMER_RULES = {
    "max_seq_length": NUMBER,
    "do_lower_case": FLAG,
    "transformer_task": only("feature-extraction"),
    "modality_config": only(TEXT_ONLY, why="texts are all that is embedded here"),
    "module_output_name": only("token_embeddings"),
    "processing_kwargs": NO_ARGUMENTS,
    "unpad_inputs": ANYTHING,
    **dict.fromkeys(("query_length", "document_length", "query_expansion"), COLBERT),
    **dict.fromkeys(("model_args", "model_kwargs"), MODEL_ARGUMENTS),
    **dict.fromkeys(("tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"), NO_ARGUMENTS),
}


def _are_texts(prompts: Any) -> bool:
    return isinstance(prompts, dict) and all(isinstance(text, str) for text in prompts.values())


CONFIG_RULES = {
    "__version__": ANYTHING,
    "requirements": ANYTHING,
    "model_type": only("SentenceTransformer"),
    "prompts": Rule("an object of texts", _are_texts),
    "default_prompt_name": Rule("the name of a prompt", lambda name: isinstance(name, str)),
    "similarity_fn_name": SIMILARITY,
    "truncate_dim": SIZE,
}
# Tokenizers without a limit say 1e30.
NO_LIMIT = 1_000_000
# For a model whose files name none: BERT's.
USUAL_MAX_TOKENS = 512
# RoBERTa's padding token, for a config.json that names none.
USUAL_PADDING = 1
# Their first token has the position after the padding token's id: 512 of RoBERTa's 514 are for tokens
# (transformers, create_position_ids_from_input_ids).
COUNT_FROM_PADDING = frozenset(
    (
        *("camembert", "data2vec-text", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    )
)


class Prompts(TypedDict):
    """The part of a plan that config_sentence_transformers.json holds."""

    prompts: dict[str, str]
    default_prompt: str | None
    similarity: str
    dimensions: int | None


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """The steps from a text to its embedding, without the graph."""

    max_tokens: int
    """The most tokens of a text, special ones included."""
    modules: tuple[Module, ...] = DEFAULT_MODULES
    """The modules that follow the graph; the first is a pooling."""
    is_assumed: bool = False
    """The files name no pooling: the mean was taken, and normalised."""
    lower_case: bool = False
    """Texts are lower-cased, whatever the tokenizer does."""
    prompts: dict[str, str] = field(default_factory=dict)
    """Texts that may be put before a text, by name."""
    default_prompt: str | None = None
    """The name of the prompt that is used unless a request names another."""
    similarity: str = "cosine"
    dimensions: int | None = None
    """The first numbers of an embedding that are kept unless a request says otherwise; None for all."""
    first_position: int = 0
    """The position of a text's first token, for a graph that takes positions as an input."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The plan in the files of `folder`.

        Raises BadInput naming file, key and value of anything unsupported, BadRequest for a broken file.
        """
        modules = read_modules(folder)
        transformer = _read_transformer(folder)
        return cls(
            max_tokens=_max_tokens(folder, transformer),
            modules=modules or DEFAULT_MODULES,
            is_assumed=modules is None,
            lower_case=transformer.get("do_lower_case", False),
            first_position=_first_position(read_object(folder / "config.json")),
            **_read_config(folder),
        )

    @classmethod
    def of_model(cls, model: StoredModel) -> Self:
        """The plan of a stored model. One from before modules had a list of their own is read anew.

        Raises BadInput if such a model asks for what was not done then, and is not done now.
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
    def of_settings(cls, settings: Mapping[str, Any]) -> Self:
        """The plan that a manifest holds: as `to_settings` wrote it, or the catalogue's short form.

        The short form, `pooling` and `normalize`, is for models whose own files name neither.
        """
        modules = DEFAULT_MODULES
        if "pooling" in settings:
            modules = _short_form(settings)
        elif "modules" in settings:
            modules = tuple(map(from_plain, settings["modules"]))
        return cls(
            max_tokens=settings.get("max_tokens", USUAL_MAX_TOKENS),
            modules=modules,
            is_assumed="pooling" not in settings and settings.get("is_assumed", False),
            lower_case=settings.get("lower_case", False),
            prompts=settings.get("prompts", {}),
            default_prompt=settings.get("default_prompt"),
            similarity=settings.get("similarity", "cosine"),
            dimensions=settings.get("dimensions"),
            first_position=settings.get("first_position", 0),
        )

    def to_settings(self) -> Json:
        """Plain values for a manifest, those at their default left out."""
        plain: Json = {
            "modules": [to_plain(module) for module in self.modules],
            "max_tokens": self.max_tokens,
        }
        usual = EmbeddingPlan(self.max_tokens, self.modules)
        others = (name for name in self.__dataclass_fields__ if name not in plain)
        return plain | {
            name: getattr(self, name) for name in others if getattr(self, name) != getattr(usual, name)
        }

    def prompt(self, options: Mapping[str, Any]) -> str:
        """The text that these options put before each text. Raises BadInput for an unknown name."""
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


def _short_form(settings: Mapping[str, Any]) -> tuple[Module, ...]:
    pooling = Pooling((settings["pooling"],))
    return (pooling, Normalize()) if settings.get("normalize", True) else (pooling,)


def _read_transformer(folder: Path) -> Fields:
    """sentence_bert_config.json, or an older name of it. Raises BadInput for anything unsupported."""
    name = next((name for name in TRANSFORMER_FILES if (folder / name).is_file()), TRANSFORMER_FILES[0])
    fields = Fields(name, read_object(folder / name))
    fields.hold_to(TRANSFORMER_RULES)
    return fields


def _read_config(folder: Path) -> Prompts:
    """Prompts, similarity and the numbers to keep. Raises BadInput for anything unsupported."""
    fields = Fields(CONFIG_FILE, read_object(folder / CONFIG_FILE))
    fields.hold_to(CONFIG_RULES)
    prompts, default = fields.get("prompts", {}), fields.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise fields.refusal(
            "default_prompt_name", f"one of its prompts: {', '.join(prompts) or 'it has none'}"
        )
    similarity = fields.get("similarity_fn_name", "cosine")
    return {
        "prompts": prompts,
        "default_prompt": default,
        "similarity": similarity,
        "dimensions": fields.get("truncate_dim"),
    }


def _max_tokens(folder: Path, transformer: Fields) -> int:
    """The length to which sentence-transformers cuts texts, at most the number of positions."""
    configured = _limit(transformer.get("max_seq_length")) or _limit(
        read_object(folder / "tokenizer_config.json").get("model_max_length")
    )
    limits = [configured, _limit(_positions(read_object(folder / "config.json")))]
    return min((limit for limit in limits if limit is not None), default=USUAL_MAX_TOKENS)


def _positions(config: Json) -> object:
    """The number of tokens that have a position of their own."""
    positions = config.get("max_position_embeddings")
    return positions - _first_position(config) if isinstance(positions, int) else positions


def _first_position(config: Json) -> int:
    padding = config.get("pad_token_id")
    if config.get("model_type") not in COUNT_FROM_PADDING:
        return 0
    return (padding if isinstance(padding, int) else USUAL_PADDING) + 1


def _limit(value: Any) -> int | None:
    """The limit, or None for the 1e30 that tokenizers write for no limit."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < NO_LIMIT else None
