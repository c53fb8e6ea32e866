"""From a LLaVA's files to the tokens that its images take, as transformers' LlavaProcessor does it.

Source: transformers 5.24, models/llava/processing_llava.py, modeling_llava.py, configuration_llava.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.configuration.fields import Fields, Rule, is_whole, whole
from browser_runtime.models.configuration.processors import Exact
from browser_runtime.models.files.json_files import Json

FILE, PROCESSOR_FILE = "config.json", "processor_config.json"
KNOWN = ("llava",)
# Tokens that a tower puts before those of its patches.
CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0}
STRATEGIES = Rule("default, which drops the first token, or full", lambda value: value in ("default", "full"))
LAYERS = Rule(
    "a whole number, or a list of them",
    lambda value: (
        is_whole(value, 512, -512)
        or (isinstance(value, list) and bool(value) and all(is_whole(each, 512, -512) for each in value))
    ),
)
MAX_TOKENS = 1 << 16
DEFAULT_IMAGE_TOKEN, DEFAULT_IMAGE_INDEX = "<image>", 32_000
DEFAULT_STRATEGY, DEFAULT_LAYER = "default", -2
# Sizes that a nested configuration may leave out: those of the classes themselves.
DECODER_DEFAULTS: dict[str, Json] = {
    "llama": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
    "mistral": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "qwen2": {
        "vocab_size": 151_936,
        "hidden_size": 4096,
        "intermediate_size": 22_016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
}
TOWER_DEFAULTS = {"image_size": 224, "patch_size": 32}
# What every configuration of transformers 4 has, about generating, training or heads that a decoder lacks.
WITHOUT_EFFECT = (
    *("add_cross_attention", "bad_words_ids", "begin_suppress_tokens", "cross_attention_hidden_size"),
    *("decoder_start_token_id", "diversity_penalty", "do_sample", "early_stopping"),
    *("encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "finetuning_task", "max_length"),
    *("forced_bos_token_id", "forced_eos_token_id", "is_decoder", "is_encoder_decoder", "length_penalty"),
    *("min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "prefix"),
    *("output_scores", "pruned_heads", "remove_invalid_values", "repetition_penalty", "sep_token_id"),
    *("return_dict_in_generate", "suppress_tokens", "task_specific_params", "temperature", "top_k", "top_p"),
    *("tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "torchscript", "typical_p", "use_bfloat16"),
)


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """The place of images in a prompt: so many tokens each, all of one number."""

    token: str
    """Stands for an image in a prompt."""
    token_id: int
    tokens_per_image: int
    layers: tuple[int, ...]
    """Hidden states of the tower that are joined: 0 is what enters the first layer."""
    drops_first: bool
    """Each state's first token is dropped."""

    @classmethod
    def of(cls, config: Mapping[str, Any], processor: Mapping[str, Any], size: Exact) -> Self:
        """The plan in config.json and processor_config.json, for images of `size`. Raises BadInput."""
        fields, beside = Fields(FILE, config), Fields(PROCESSOR_FILE, processor)
        require_known(config)
        tower = Fields(f"vision_config of {FILE}", TOWER_DEFAULTS | dict(fields.get("vision_config", {})))
        kind = tower.read("model_type", "clip_vision_model", Rule("a known tower", lambda _: True))
        if kind not in CLASS_TOKENS:
            raise tower.refusal("model_type", f"one of {', '.join(CLASS_TOKENS)}")
        strategy = fields.read("vision_feature_select_strategy", DEFAULT_STRATEGY, STRATEGIES)
        told = beside.read("vision_feature_select_strategy", strategy, STRATEGIES)
        if told != strategy:
            raise beside.refusal("vision_feature_select_strategy", f"{strategy!r}, as config.json has it")
        patch = tower.read("patch_size", TOWER_DEFAULTS["patch_size"], whole(1 << 12))
        if beside.read("patch_size", patch, whole(1 << 12)) != patch:
            raise beside.refusal("patch_size", f"{patch}, as config.json has it")
        n_class = beside.read("num_additional_image_tokens", CLASS_TOKENS[kind], whole(16, 0))
        layer = fields.read("vision_feature_layer", DEFAULT_LAYER, LAYERS)
        drops = strategy == "default"
        count = (size.height // patch) * (size.width // patch) + n_class - drops
        if not 1 <= count <= MAX_TOKENS:
            raise tower.refusal("patch_size", f"one that makes 1 to {MAX_TOKENS} tokens of an image")
        return cls(
            token=str(beside.get("image_token", DEFAULT_IMAGE_TOKEN)),
            token_id=_read_index(fields),
            tokens_per_image=count,
            layers=tuple(layer) if isinstance(layer, list) else (layer,),
            drops_first=drops,
        )


def _read_index(fields: Fields) -> int:
    """The number of the image's token: `image_token_index`, in newer files `image_token_id`."""
    key = "image_token_id" if fields.has("image_token_id") else "image_token_index"
    return int(fields.read(key, DEFAULT_IMAGE_INDEX, whole(1 << 24, 0)))


def require_known(config: Mapping[str, Any]) -> None:
    """Returns for a kind of model that is served. Raises BadInput naming it."""
    kind = config.get("model_type")
    if kind not in KNOWN:
        refused = f"{kind!r}: multimodal models of type {kind} are not served"
        raise BadInput(f"model_type of {FILE}", refused, f"one of {', '.join(KNOWN)}")


def read_decoder(config: Mapping[str, Any]) -> DecoderShape:
    """The decoder of a LLaVA's config.json. Raises BadInput."""
    require_known(config)
    return DecoderShape.of(decoder_config(config))


def decoder_config(config: Mapping[str, Any]) -> Json:
    """`text_config` as a config.json of the decoder alone. Raises BadInput."""
    given = config.get("text_config")
    inner = Fields(f"text_config of {FILE}", {} if given is None else given)
    kind = inner.get("model_type", "llama")
    known = [key for key in inner.keys() if key not in WITHOUT_EFFECT]  # noqa: SIM118  # no dict
    values = {key: inner.given(key) for key in known}
    return DECODER_DEFAULTS.get(str(kind), {}) | {"model_type": kind} | values
