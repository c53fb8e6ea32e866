"""The sizes of one encoder, BERT or ViT, from its config.json: understood whole, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from browser_runtime.contract.errors import BadInput
from browser_runtime.low_bits.shape import EPSILON, FILE, SIZES, WITHOUT_EFFECT
from browser_runtime.models.configuration.fields import ANYTHING, Fields, only, whole

TEXT_TYPES, IMAGE_TYPES = ("bert",), ("vit",)
"""Values of config.json's `model_type` that the low-bit engine runs as an encoder."""
ACTIVATIONS = ("gelu", "relu")
EIGHTS = 8
"""Products are computed for eight rows of a matrix at once, and attention for eight numbers of a head."""
MAX_POSITIONS = 1 << 16
MAX_TOKEN_TYPES = 1 << 10
MAX_PIXELS, MAX_CHANNELS, MAX_CLASSES = 1 << 12, 16, 1 << 20
NORM_EPSILON = 1e-12
"""Where a file leaves it out: transformers' own, of both types."""
CHANNELS = 3
"""Where a ViT's file leaves them out: transformers' own."""
TRAINING = (
    *("attention_probs_dropout_prob", "classifier_dropout", "hidden_dropout_prob", "gradient_checkpointing"),
    *("bos_token_id", "cls_token_id", "eos_token_id", "pad_token_id", "sep_token_id"),
    *("tie_word_embeddings", "add_pooling_layer"),
    *("directionality", "finetuning_task", "num_labels", "output_past", "pooler_fc_size"),
    *("pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
)
COMMON = {
    **dict.fromkeys((*WITHOUT_EFFECT, *TRAINING, "architectures"), ANYTHING),
    **{key: rule for key, rule in SIZES.items() if key != "vocab_size"},
    "model_type": ANYTHING,
    "layer_norm_eps": EPSILON,
    "hidden_act": only(*ACTIVATIONS, why="no other activation is computed here"),
}
# Otherwise a token sees those before it alone, or what another model made.
ATTENTION_RULES = {
    "is_decoder": only(False),
    "is_encoder_decoder": only(False),
    "add_cross_attention": only(False),
}
TEXT_RULES = COMMON | {
    "vocab_size": SIZES["vocab_size"],
    "max_position_embeddings": whole(MAX_POSITIONS),
    "type_vocab_size": whole(MAX_TOKEN_TYPES),
    "position_embedding_type": only("absolute", why="no other positions are computed here"),
    **ATTENTION_RULES,
}
IMAGE_RULES = COMMON | {
    # Of pretraining, and of a pooler that a classifier has not.
    **dict.fromkeys(("encoder_stride", "pooler_act", "pooler_output_size"), ANYTHING),
    "image_size": whole(MAX_PIXELS),
    "patch_size": whole(MAX_PIXELS),
    "num_channels": whole(MAX_CHANNELS),
    "qkv_bias": only(True, why="no others are packed here"),
}
RULES = {**dict.fromkeys(TEXT_TYPES, TEXT_RULES), **dict.fromkeys(IMAGE_TYPES, IMAGE_RULES)}
NEEDED = {
    **dict.fromkeys(TEXT_TYPES, (*SIZES, "max_position_embeddings")),
    **dict.fromkeys(IMAGE_TYPES, (*SIZES.keys() - {"vocab_size"}, "image_size", "patch_size")),
}


@dataclass(frozen=True, slots=True)
class TextInput:
    """Tokens, at learned positions, of several types; LayerNorm stands behind them and behind each block."""

    vocabulary: int
    max_positions: int
    token_types: int

    @property
    def rows(self) -> int:
        """The most tokens that attend to each other."""
        return self.max_positions

    def to_plain(self) -> dict[str, Any]:
        """Its keys in the architecture of low_bits_encoder.json."""
        return {
            "vocab": self.vocabulary,
            "max_positions": self.max_positions,
            "token_types": self.token_types,
        }


@dataclass(frozen=True, slots=True)
class ImageInput:
    """Square patches of an image behind a class token, at learned positions; classes are read off that token.

    LayerNorm stands before each block, and behind the last.
    """

    height: int
    width: int
    """Both in pixels."""
    patch: int
    channels: int
    classes: int

    @property
    def patches(self) -> int:
        """Patches of an image; what is left at its ends is not read."""
        return (self.height // self.patch) * (self.width // self.patch)

    @property
    def rows(self) -> int:
        """The patches and the class token."""
        return 1 + self.patches

    @property
    def columns(self) -> int:
        """Numbers of a patch, and zeros up to a multiple of eight."""
        return -(-self.channels * self.patch * self.patch // EIGHTS) * EIGHTS

    def to_plain(self) -> dict[str, Any]:
        """Its key in the architecture of low_bits_encoder.json."""
        image = {"height": self.height, "width": self.width, "patch": self.patch, "channels": self.channels}
        return {"image": image, "classes": self.classes}


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """An encoder of learned positions and attention over all rows: texts or images come in, by its input."""

    layers: int
    width: int
    heads: int
    mlp_width: int
    norm_epsilon: float
    activation: str
    input: TextInput | ImageInput

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The shape that config.json describes. Raises BadInput naming key, value and what is allowed."""
        fields = Fields(FILE, config)
        kind = config.get("model_type")
        if kind not in RULES:
            raise fields.refusal("model_type", f"one of {', '.join(RULES)}")
        fields.hold_to(RULES[kind], f"an encoder of type {kind}")
        for key in NEEDED[kind]:
            if fields.get(key) is None:
                raise fields.refusal(key, RULES[kind][key].allowed)
        return cls(
            layers=fields.get("num_hidden_layers"),
            width=fields.get("hidden_size"),
            heads=fields.get("num_attention_heads"),
            mlp_width=fields.get("intermediate_size"),
            norm_epsilon=float(fields.get("layer_norm_eps", NORM_EPSILON)),
            activation=fields.get("hidden_act", "gelu"),
            input=_read_image(fields) if kind in IMAGE_TYPES else _read_text(fields),
        ).checked(FILE)

    def checked(self, where: str) -> Self:
        """The shape itself. Raises BadInput for sizes that the kernels have no eight numbers of."""
        if self.width % (EIGHTS * self.heads):
            allowed = f"a multiple of {EIGHTS} times the {self.heads} heads, which the kernels need"
            raise BadInput(f"the width of {where}", str(self.width), allowed)
        if self.mlp_width % EIGHTS:
            allowed = f"a multiple of {EIGHTS}, which the kernels need"
            raise BadInput(f"the feed-forward width of {where}", str(self.mlp_width), allowed)
        if isinstance(self.input, ImageInput) and not 1 <= self.input.patches < MAX_POSITIONS:
            allowed = f"one that makes 1 to {MAX_POSITIONS - 1} patches of an image"
            raise BadInput(f"the patch's size in {where}", str(self.input.patch), allowed)
        return self

    def to_plain(self) -> dict[str, Any]:
        """The architecture as low_bits_encoder.json has it."""
        return {
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "ffn": self.mlp_width,
            **self.input.to_plain(),
            "norm_eps": self.norm_epsilon,
            "activation": self.activation,
        }


def _read_text(fields: Fields) -> TextInput:
    return TextInput(
        vocabulary=fields.get("vocab_size"),
        max_positions=fields.get("max_position_embeddings"),
        token_types=fields.get("type_vocab_size", 2),
    )


def _read_image(fields: Fields) -> ImageInput:
    """Raises BadInput for a file whose classes nobody names."""
    names = fields.get("id2label")
    if not isinstance(names, dict) or not 1 <= len(names) <= MAX_CLASSES:
        raise fields.refusal("id2label", f"an object with 1 to {MAX_CLASSES} names of classes")
    side = fields.get("image_size")
    return ImageInput(side, side, fields.get("patch_size"), fields.get("num_channels", CHANNELS), len(names))
