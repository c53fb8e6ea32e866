"""The sizes of one LLaMA-type decoder, from its config.json: understood whole, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.rope import BASE, Rope, read_rope
from browser_runtime.models.configuration.fields import (
    ANYTHING,
    FLAG,
    Fields,
    Rule,
    is_number,
    is_whole,
    only,
    whole,
)

FILE = "config.json"
CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
}
"""The architectures that are read here, by config.json's `model_type`."""

MAX_VOCABULARY = 1 << 20
MAX_WIDTH = 1 << 16
MAX_LAYERS = 512
MAX_HEADS = 1 << 10
EPSILON = Rule("a number above 0, and below 1", lambda value: is_number(value) and 0 < value < 1)
ATTENTION_KINDS = ("full_attention", "sliding_attention")


def _is_token(value: Any) -> bool:
    return is_whole(value, MAX_VOCABULARY, 0)


TOKEN = Rule("a token's number", _is_token)
TOKENS = Rule(
    "a token's number, or a list of them",
    lambda value: _is_token(value) or (isinstance(value, list) and all(map(_is_token, value))),
)
LAYER_KINDS = Rule(
    f"a list of {' and '.join(ATTENTION_KINDS)}",
    lambda value: isinstance(value, list) and all(kind in ATTENTION_KINDS for kind in value),
)
OBJECT = Rule("an object", lambda value: isinstance(value, dict))
# What transformers keeps for itself or for training; it changes no logit.
WITHOUT_EFFECT = (
    *("_name_or_path", "_attn_implementation", "attention_dropout", "attn_implementation", "auto_map"),
    *("chunk_size_feed_forward", "dtype", "id2label", "initializer_range", "is_llama_config", "label2id"),
    *("output_attentions", "output_hidden_states", "pretraining_tp", "return_dict", "torch_dtype"),
    *("transformers.js_config", "transformers_version", "unsloth_fixed", "unsloth_version", "use_cache"),
    *("keys_to_ignore_at_inference", "problem_type"),
)
SIZES = {
    "vocab_size": whole(MAX_VOCABULARY),
    "hidden_size": whole(MAX_WIDTH),
    "intermediate_size": whole(4 * MAX_WIDTH),
    "num_hidden_layers": whole(MAX_LAYERS),
    "num_attention_heads": whole(MAX_HEADS),
}
COMMON: dict[str, Rule] = {
    **dict.fromkeys(WITHOUT_EFFECT, ANYTHING),
    **SIZES,
    "num_key_value_heads": whole(MAX_HEADS),
    "head_dim": whole(1 << 12),
    "hidden_act": only("silu", why="no other gate is computed here"),
    "max_position_embeddings": whole(1 << 24),
    "rms_norm_eps": EPSILON,
    "rope_theta": BASE,
    "rope_scaling": OBJECT,
    "rope_parameters": OBJECT,
    "tie_word_embeddings": FLAG,
    "bos_token_id": TOKENS,
    "eos_token_id": TOKENS,
    "pad_token_id": Rule("a token's number, or -1", lambda value: value == -1 or _is_token(value)),
    "is_decoder": ANYTHING,
    "is_encoder_decoder": only(False),
    "add_cross_attention": only(False),
}
WINDOWS = {
    "use_sliding_window": FLAG,
    "sliding_window": whole(1 << 24),
    "max_window_layers": whole(MAX_LAYERS, 0),
    "layer_types": LAYER_KINDS,
}
LLAMA = {
    "attention_bias": FLAG,
    "mlp_bias": FLAG,
    "rope_interleaved": only(False),
    "layer_types": LAYER_KINDS,
}
RULES: dict[str, dict[str, Rule]] = {
    "llama": COMMON | LLAMA,
    "qwen2": COMMON | WINDOWS,
    "qwen3": COMMON | WINDOWS | {"attention_bias": FLAG},
    "mistral": COMMON | {"sliding_window": whole(1 << 24)},
}
# Where a file leaves them out; transformers' own, one model type each.
NORM_EPSILON = 1e-6
USUAL_POSITIONS = {"llama": 2048, "qwen2": 32_768, "qwen3": 32_768, "mistral": 131_072}
USUAL_WINDOW = 4096
USUAL_WINDOW_LAYERS = 28
QWEN3_HEAD_WIDTH = 128
MISTRAL_KV_HEADS = 8
QWEN_KV_HEADS = 32


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """A decoder of RMSNorm, rotary positions, grouped-query attention and SwiGLU."""

    model_type: str
    vocabulary: int
    width: int
    mlp_width: int
    layers: int
    heads: int
    kv_heads: int
    """Each serves heads / kv_heads heads: grouped-query attention."""
    head_width: int
    norm_epsilon: float
    rope: Rope
    max_positions: int
    """The longest text; a model's window bounds it, since up to there the window changes nothing."""
    tied_head: bool
    """The embedding's rows are the head's too."""
    qkv_biases: bool
    output_bias: bool
    mlp_biases: bool
    qk_norms: bool
    """An RMSNorm over each head's query and key, before its position."""
    bos: int | None
    eos: tuple[int, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The shape that config.json describes. Raises BadInput naming key, value and what is allowed."""
        fields, model_type = Fields(FILE, config), config.get("model_type")
        if not isinstance(model_type, str) or model_type not in CLASSES:
            raise fields.refusal("model_type", f"one of {', '.join(CLASSES)}")
        own = {"model_type": ANYTHING, "architectures": only([CLASSES[model_type]])}
        fields.hold_to(RULES[model_type] | own, f"a model of type {model_type}")
        for key, rule in SIZES.items():
            if fields.get(key) is None:
                raise fields.refusal(key, rule.allowed)
        return cls._checked(fields, model_type)

    @classmethod
    def _checked(cls, fields: Fields, model_type: str) -> Self:
        width, heads = fields.get("hidden_size"), fields.get("num_attention_heads")
        head_width = _read_head_width(fields, model_type, width, heads)
        positions = _read_positions(fields, model_type)
        has_biases = fields.get("attention_bias", False)
        eos, bos = fields.get("eos_token_id", []), fields.get("bos_token_id")
        return cls(
            model_type=model_type,
            vocabulary=fields.get("vocab_size"),
            width=width,
            mlp_width=fields.get("intermediate_size"),
            layers=fields.get("num_hidden_layers"),
            heads=heads,
            kv_heads=_read_kv_heads(fields, model_type, heads),
            head_width=head_width,
            norm_epsilon=float(fields.get("rms_norm_eps", NORM_EPSILON)),
            rope=read_rope(fields, head_width, fields.get("max_position_embeddings", positions)),
            max_positions=positions,
            tied_head=fields.get("tie_word_embeddings", False),
            qkv_biases=has_biases or model_type == "qwen2",
            output_bias=has_biases,
            mlp_biases=fields.get("mlp_bias", False),
            qk_norms=model_type == "qwen3",
            bos=next(iter(bos), None) if isinstance(bos, list) else bos,
            eos=tuple(eos if isinstance(eos, list) else [eos]),
        )


def _read_head_width(fields: Fields, model_type: str, width: int, heads: int) -> int:
    usual = QWEN3_HEAD_WIDTH if model_type == "qwen3" else width // heads
    head_width = int(fields.get("head_dim", usual))
    if head_width % 2 or (fields.get("head_dim") is None and model_type != "qwen3" and width % heads):
        given = f"{head_width} ({width} numbers for {heads} heads)"
        raise BadInput(
            f"head_dim of {FILE}", given, "even, and hidden_size a multiple of num_attention_heads"
        )
    return head_width


def _read_kv_heads(fields: Fields, model_type: str, heads: int) -> int:
    usual = {"mistral": MISTRAL_KV_HEADS, "qwen2": QWEN_KV_HEADS, "qwen3": QWEN_KV_HEADS}.get(
        model_type, heads
    )
    # Null means as many as there are heads; left out means the class's own number.
    kv_heads = int(fields.given("num_key_value_heads", usual) or heads)
    if heads % kv_heads:
        allowed = f"a divisor of num_attention_heads, which is {heads}"
        raise BadInput(f"num_key_value_heads of {FILE}", str(kv_heads), allowed)
    return kv_heads


def _read_positions(fields: Fields, model_type: str) -> int:
    """The longest text: beyond a window attention would have to forget, which is not done here."""
    positions = int(fields.get("max_position_embeddings", USUAL_POSITIONS[model_type]))
    window = fields.given("sliding_window", USUAL_WINDOW)
    kinds = fields.get("layer_types", [])
    if kinds and len(kinds) != fields.get("num_hidden_layers"):
        raise fields.refusal("layer_types", "a list as long as num_hidden_layers")
    if model_type == "mistral":
        slides = True
    elif model_type == "llama":
        slides = "sliding_attention" in kinds
        if slides:
            raise fields.refusal(
                "layer_types", "full_attention in each layer: model type llama has no window"
            )
    else:
        from_layer = fields.get("max_window_layers", USUAL_WINDOW_LAYERS)
        above = from_layer < fields.get("num_hidden_layers")
        slides = fields.get("use_sliding_window", False) and (
            "sliding_attention" in kinds if kinds else above
        )
    return min(positions, window) if slides and window is not None else positions
