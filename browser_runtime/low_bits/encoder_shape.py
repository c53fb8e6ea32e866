"""The sizes of one BERT encoder, from its config.json: understood whole, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.shape import EPSILON, FILE, SIZES, WITHOUT_EFFECT
from browser_runtime.models.configuration.fields import ANYTHING, Fields, only, whole

ENCODER_TYPES = ("bert",)
"""Values of config.json's `model_type` that the low-bit engine runs as an encoder."""
ACTIVATIONS = ("gelu", "relu")
EIGHTS = 8
"""Products are computed for eight rows of a matrix at once, and attention for eight numbers of a head."""
MAX_POSITIONS = 1 << 16
MAX_TOKEN_TYPES = 1 << 10
NORM_EPSILON = 1e-12
"""Where a file leaves it out: transformers' own."""
TRAINING = (
    *("attention_probs_dropout_prob", "classifier_dropout", "hidden_dropout_prob", "gradient_checkpointing"),
    *("bos_token_id", "cls_token_id", "eos_token_id", "pad_token_id", "sep_token_id"),
    *("tie_word_embeddings", "add_pooling_layer"),
    *("directionality", "finetuning_task", "num_labels", "output_past", "pooler_fc_size"),
    *("pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
)
RULES = {
    **dict.fromkeys((*WITHOUT_EFFECT, *TRAINING, "architectures"), ANYTHING),
    **SIZES,
    "model_type": ANYTHING,
    "max_position_embeddings": whole(MAX_POSITIONS),
    "type_vocab_size": whole(MAX_TOKEN_TYPES),
    "layer_norm_eps": EPSILON,
    "hidden_act": only(*ACTIVATIONS, why="no other activation is computed here"),
    "position_embedding_type": only("absolute", why="no other positions are computed here"),
    "is_decoder": only(False),
    "is_encoder_decoder": only(False),
    "add_cross_attention": only(False),
}


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """An encoder of learned positions, attention over all tokens, and LayerNorm behind each block."""

    layers: int
    width: int
    heads: int
    mlp_width: int
    vocabulary: int
    max_positions: int
    token_types: int
    norm_epsilon: float
    activation: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The shape that config.json describes. Raises BadInput naming key, value and what is allowed."""
        fields = Fields(FILE, config)
        if config.get("model_type") not in ENCODER_TYPES:
            raise fields.refusal("model_type", f"one of {', '.join(ENCODER_TYPES)}")
        fields.hold_to(RULES, f"an encoder of type {config['model_type']}")
        for key in (*SIZES, "max_position_embeddings"):
            if fields.get(key) is None:
                raise fields.refusal(key, RULES[key].allowed)
        return cls(
            layers=fields.get("num_hidden_layers"),
            width=fields.get("hidden_size"),
            heads=fields.get("num_attention_heads"),
            mlp_width=fields.get("intermediate_size"),
            vocabulary=fields.get("vocab_size"),
            max_positions=fields.get("max_position_embeddings"),
            token_types=fields.get("type_vocab_size", 2),
            norm_epsilon=float(fields.get("layer_norm_eps", NORM_EPSILON)),
            activation=fields.get("hidden_act", "gelu"),
        ).checked(FILE)

    def checked(self, where: str) -> Self:
        """The shape itself. Raises BadInput for sizes that the kernels have no eight numbers of."""
        if self.width % (EIGHTS * self.heads):
            allowed = f"a multiple of {EIGHTS} times the {self.heads} heads, which the kernels need"
            raise BadInput(f"the width of {where}", str(self.width), allowed)
        if self.mlp_width % EIGHTS:
            allowed = f"a multiple of {EIGHTS}, which the kernels need"
            raise BadInput(f"the feed-forward width of {where}", str(self.mlp_width), allowed)
        return self

    def to_plain(self) -> dict[str, Any]:
        """The architecture as low_bits_encoder.json has it."""
        return {
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "ffn": self.mlp_width,
            "vocab": self.vocabulary,
            "max_positions": self.max_positions,
            "token_types": self.token_types,
            "norm_eps": self.norm_epsilon,
            "activation": self.activation,
        }
