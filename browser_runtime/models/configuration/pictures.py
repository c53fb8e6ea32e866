"""From the files of a model that reads images to the tokens that they take, as transformers does it.

Source: transformers 5.24, models/llava and models/idefics3: processing_*.py, modeling_*.py and
configuration_*.py; models/smolvlm, which does as Idefics3 does, and reads videos too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.configuration.fields import Fields, Rule, is_whole, whole
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.files.json_files import Json

FILE, PROCESSOR_FILE = "config.json", "processor_config.json"
# Types whose images become tiles, with marks between their tokens.
TILED = ("idefics3", "smolvlm")
KNOWN = ("llava", *TILED)
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
TILED_IMAGE_ID, DEFAULT_SCALE, DEFAULT_SEQUENCE = 128_257, 2, 169
# The tokens around an image's own in Idefics3; what a tokenizer calls them may not differ.
AROUND, WHOLE = "<fake_token_around_image>", "<global-img>"
TILED_TOWERS = ("idefics3", "idefics3_vision", "smolvlm", "smolvlm_vision")
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
    # Of SmolVLM's decoders; transformers' LLaMA, which they are, knows none of them.
    *("_attn_implementation_autoset", "_flash_attn_2_enabled", "neftune_noise_alpha", "perceiver_config"),
    *("pixel_shuffle_factor", "qk_layer_norms", "use_resampler"),
    # It is its model_type that says what a nested decoder is.
    "architectures",
)


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """The place of images in a prompt: so many tokens for each image or tile of one, all of one number."""

    token: str
    """Stands for an image in a prompt."""
    token_id: int
    tokens_per_tile: int
    """Those of one image of the tower: a tile, or in a LLaVA the whole image."""
    is_tiled: bool = False
    """Tokens of a tile stand between marks."""

    @classmethod
    def of(cls, config: Mapping[str, Any], processor: Mapping[str, Any], pixels: PixelPlan) -> Self:
        """The plan in config.json and processor_config.json, for images by `pixels`. Raises BadInput."""
        fields, beside = Fields(FILE, config), Fields(PROCESSOR_FILE, processor)
        require_known(config)
        is_tiled = config.get("model_type") in TILED
        if is_tiled != (pixels.tiles is not None):
            found = "one without tiles" if is_tiled else "one with tiles"
            allowed = f"as models of type {config['model_type']} need it: {'with' if is_tiled else 'without'}"
            raise BadInput("image_processor_type of preprocessor_config.json", found, allowed)
        count = (
            _count_of_tile(fields, beside, pixels) if is_tiled else _count_of_image(fields, beside, pixels)
        )
        return cls(
            token=str(beside.get("image_token", DEFAULT_IMAGE_TOKEN)),
            token_id=_read_index(fields, TILED_IMAGE_ID if is_tiled else DEFAULT_IMAGE_INDEX),
            tokens_per_tile=count,
            is_tiled=is_tiled,
        )

    @property
    def details(self) -> Json:
        """The number of tokens, under the name that says of what."""
        return {"tokens_per_tile" if self.is_tiled else "tokens_per_image": self.tokens_per_tile}

    def write(self, rows: int, columns: int) -> str:
        """The text of an image in a prompt: its tokens, and the marks of its tiles in so many rows."""
        run = self.token * self.tokens_per_tile
        if not self.is_tiled:
            return run
        tiles = "".join(
            "".join(f"{AROUND}<row_{row}_col_{column}>{run}" for column in range(1, columns + 1)) + "\n"
            for row in range(1, rows + 1)
        )
        return f"{tiles}\n" * bool(rows) + f"{AROUND}{WHOLE}{run}{AROUND}"


def _count_of_image(fields: Fields, beside: Fields, pixels: PixelPlan) -> int:
    """The tokens of one image of a LLaVA. Raises BadInput."""
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
    fields.read("vision_feature_layer", DEFAULT_LAYER, LAYERS)
    count = (pixels.size.height // patch) * (pixels.size.width // patch) + n_class - (strategy == "default")
    return _require_count(tower, int(count))


def _count_of_tile(fields: Fields, beside: Fields, pixels: PixelPlan) -> int:
    """The tokens of a tile of an Idefics3: `scale_factor` x `scale_factor` patches each. Raises BadInput."""
    tower = Fields(f"vision_config of {FILE}", TOWER_DEFAULTS | dict(fields.get("vision_config", {})))
    kind = tower.read("model_type", TILED_TOWERS[0], Rule("a known tower", lambda _: True))
    if kind not in TILED_TOWERS:
        raise tower.refusal("model_type", f"one of {', '.join(TILED_TOWERS)}")
    patch = tower.read("patch_size", TOWER_DEFAULTS["patch_size"], whole(1 << 12))
    scale = fields.read("scale_factor", DEFAULT_SCALE, whole(64))
    side = pixels.size.height // patch
    if side % scale:
        raise fields.refusal("scale_factor", f"a divisor of the {side} patches along a tile")
    count = _require_count(tower, (side // scale) ** 2)
    if beside.read("image_seq_len", DEFAULT_SEQUENCE, whole(MAX_TOKENS)) != count:
        raise beside.refusal("image_seq_len", f"{count}: so many tokens the tower makes of a tile")
    return count


def _require_count(tower: Fields, count: int) -> int:
    if not 1 <= count <= MAX_TOKENS:
        raise tower.refusal("patch_size", f"one that makes 1 to {MAX_TOKENS} tokens of an image")
    return count


def _read_index(fields: Fields, default: int) -> int:
    """The number of the image's token: `image_token_index`, in newer files `image_token_id`."""
    key = "image_token_id" if fields.has("image_token_id") else "image_token_index"
    return int(fields.read(key, default, whole(1 << 24, 0)))


def require_known(config: Mapping[str, Any]) -> None:
    """Returns for a kind of model that is served. Raises BadInput naming it."""
    kind = config.get("model_type")
    if kind not in KNOWN:
        refused = f"{kind!r}: multimodal models of type {kind} are not served"
        raise BadInput(f"model_type of {FILE}", refused, f"one of {', '.join(KNOWN)}")


def read_decoder(config: Mapping[str, Any]) -> DecoderShape:
    """The decoder of a config.json of those kinds. Raises BadInput."""
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
