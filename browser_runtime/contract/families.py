"""The table of families: one row for each kind of model that can run, and the guide's browser by model type.

A producer imports this: rows name the code of a family, they do not import it.
"""

from __future__ import annotations

from browser_runtime.contract.contrastive_families import CLAP, CLIP, IMAGES, SOUNDS
from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.family_spec import (
    PREPROCESSING,
    AnswerSpec,
    FamilySpec,
    FileSpec,
    GraphSpec,
    InputSpec,
    Recognition,
    RunLimits,
)
from browser_runtime.contract.generating_families import LLAVA, TEXT_GENERATION
from browser_runtime.contract.option import Kind, Option
from browser_runtime.contract.vocabulary import Browser, Family, Precision, shown

TEXTS = InputSpec("texts", "text", is_text=True)

# Packed by `webinfer models quantize`: weights of 8 bits on the low-bit engine.
PACKED_ENCODER = GraphSpec(
    "low_bits_encoder", (), (), {Precision.BITS_8: (str(Precision.BITS_8),)}, "{suffix}/{stem}.json"
)

TEXT_EMBEDDING = FamilySpec(
    "text_embedding",
    (Family.TEXT_EMBEDDING,),
    TEXTS,
    graphs=(
        GraphSpec(
            "model",
            ("input_ids", "attention_mask", "token_type_ids", "position_ids"),
            ("last_hidden_state", "token_embeddings"),
        ),
    ),
    files=FileSpec(
        required=("config.json", "tokenizer.json"),
        optional=(
            "tokenizer_config.json",
            "special_tokens_map.json",
            "config_sentence_transformers.json",
            # The first that is there counts; the others are of old versions of sentence-transformers.
            "sentence_bert_config.json",
            "sentence_roberta_config.json",
            "sentence_distilbert_config.json",
            "sentence_camembert_config.json",
            "sentence_albert_config.json",
            "sentence_xlm-roberta_config.json",
            "sentence_xlnet_config.json",
        ),
        listing="modules.json",
    ),
    recognition=Recognition(
        architectures=("Model", "ForMaskedLM"),
        keys=("vocab_size",),
        # Encoders of sounds (wav2vec 2.0, HuBERT, WavLM) and of images (BEiT) have a vocabulary too.
        barred=(
            *("conv_kernel", "conv_kernel_sizes", "feature_projection_input_dim", "num_mel_bins"),
            *("sampling_rate", "image_size", "patch_size", "num_channels", "vision_config", "audio_config"),
        ),
        pipelines=("feature-extraction", "sentence-similarity"),
    ),
    # Beyond 32 texts latency and memory grow and throughput no more. A compiled MiniLM holds ~100 MB, so not
    # all 24 static shapes are kept: four cover short and long, one and many. Chromium's WASM tiers up within
    # ~50 runs; on a slow software GPU the time ends it first.
    limits=RunLimits(max_batch=32, max_static_graphs=4, warm_up_runs=60, warm_up_ms=3000),
    answer=AnswerSpec(numbers="embedding"),
    sizes="batch and sequence free or fixed, each",
    other_layouts=((PACKED_ENCODER,),),
    sample="The quick brown fox jumps over the lazy dog while nobody looks.",
    options=(
        Option(
            "prompt",
            Kind.TEXT,
            "what to put before each text; default: the model's own default prompt, if it has one",
        ),
        Option(
            "prompt_name",
            Kind.WORD,
            "the name of one of the model's prompts (`query`, `passage`) to put before each text",
        ),
        Option(
            "dimensions",
            Kind.COUNT,
            "keep the embedding's first numbers alone, as sentence-transformers' `truncate_dim`; its length "
            "is then not 1 any more, unless `normalize` is given too",
            most=65_536,
        ),
        Option(
            "normalize",
            Kind.FLAG,
            "give the embedding length 1; default: as the model's modules leave it",
        ),
    ),
)

VISION = FamilySpec(
    "vision",
    (Family.VISION,),
    IMAGES,
    graphs=(GraphSpec("model", ("pixel_values",), ("logits",)),),
    files=FileSpec(
        required=("config.json", "preprocessor_config.json"),
        optional=("processor_config.json",),
        instead=PREPROCESSING,
    ),
    recognition=Recognition(architectures=("ForImageClassification",), pipelines=("image-classification",)),
    # A tower that other models may hold as well, CLIP's above all, and a head of its own.
    other_layouts=(
        (
            GraphSpec("vision_model", ("pixel_values",), ("image_embeds", "pooler_output")),
            GraphSpec("classification_head", ("image_embeds",), ("logits",)),
        ),
        (PACKED_ENCODER,),
    ),
    # A ViT-base batch of 8 takes ~0.5 GB of activations at most.
    limits=RunLimits(max_batch=8, max_static_graphs=4, warm_up_runs=60, warm_up_ms=3000),
    answer=AnswerSpec(("labels", 0, "label"), numbers="logits"),
    sizes="batch free or fixed; the others the pixels' own",
    sample={"image": {"width": 224, "height": 224}},
    options=(
        Option(
            "top_k",
            Kind.COUNT,
            "how many labels to give, likeliest first; default 5. All scores are in the output's `logits`",
            most=1000,
        ),
        Option(
            "function_to_apply",
            Kind.WORD,
            "what makes scores of logits; default: what the model's `problem_type` says",
            words=("softmax", "sigmoid", "none"),
        ),
    ),
)

AUDIO = FamilySpec(
    "audio",
    (Family.AUDIO,),
    SOUNDS,
    graphs=(
        GraphSpec("encoder_model", ("input_features",), ("last_hidden_state",)),
        GraphSpec(
            "decoder_model_merged",
            ("input_ids", "encoder_hidden_states", "use_cache_branch", "past_key_values.*"),
            ("logits",),
        ),
    ),
    files=FileSpec(
        required=(*("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"),),
        optional=("processor_config.json", "tokenizer_config.json", "special_tokens_map.json"),
        instead=PREPROCESSING,
        # transformers.js opens no tokenizer without the file, and takes its usual one where that is empty.
        may_be_empty=("tokenizer_config.json",),
    ),
    recognition=Recognition(model_types=("whisper",)),
    # Sounds run one by one; ten warm-up runs are the fewest that can show a steady state.
    limits=RunLimits(max_batch=1, max_static_graphs=1, warm_up_runs=20, warm_up_ms=3000),
    answer=AnswerSpec(("text",)),
    sizes="batch free or 1",
    sample={"audio": {"duration": 3.0}},
    options=(
        Option(
            "language",
            Kind.WORD,
            "the language that is spoken, as a code (`en`) or a name (`english`); default: the model's own "
            "setting, else it is recognised",
        ),
        Option(
            "task",
            Kind.WORD,
            "whether to write down what is said, or its translation into English; default: as the model's "
            "own settings say",
            words=("transcribe", "translate"),
        ),
        Option(
            "max_new_tokens",
            Kind.COUNT,
            "the most tokens to make for each window of sound; default: as many as the model has room for",
            most=4096,
        ),
        Option(
            "return_timestamps",
            Kind.FLAG,
            "also give `chunks`: segments with the seconds at which each begins and ends, as transformers' "
            "pipeline does; times of single words are not to be had",
        ),
    ),
)

FAMILIES: dict[str, FamilySpec] = {
    row.name: row for row in (TEXT_EMBEDDING, VISION, AUDIO, TEXT_GENERATION, LLAVA, CLIP, CLAP)
}
"""Every family that can run, by name. Where a model fits several rows, the first is taken."""

# The guide says `text`.
FAMILY_ALIASES = {"text": Family.TEXT_EMBEDDING}

PREFERRED_BROWSER = {
    Family.AUDIO: Browser.FIREFOX,
    Family.VISION: Browser.CHROME,
    Family.TEXT_EMBEDDING: Browser.EDGE,
    Family.TEXT_GENERATION: Browser.CHROME,
    Family.MULTIMODAL: Browser.CHROME,
}
"""The guide's selection table, which measured history overrides; its points are in `acceleration.py`."""


def rows_of(family: Family) -> tuple[FamilySpec, ...]:
    """The rows that answer a model type, in the order of the table; none for one without an engine yet."""
    return tuple(row for row in FAMILIES.values() if family in row.model_types)


def served_families() -> tuple[Family, ...]:
    """The model types that a request may name today; the others are known words without an engine yet."""
    return tuple(family for family in Family if rows_of(family))


def usual_precision(family: Family) -> Precision:
    """The precision of a request that names none; fp32 for a model type without an engine yet."""
    rows = rows_of(family)
    return rows[0].precision if rows else Precision.FP32


def inputs_of(family: Family) -> InputSpec:
    """The items of a request for `family`, which a producer knows before it knows the model."""
    return rows_of(family)[0].inputs


def parse_family(text: object, field: str = "model_type") -> Family:
    """Reads a model type that is served, aliases included. Raises BadInput naming the field."""
    served = served_families()
    if isinstance(text, str):
        word = FAMILY_ALIASES.get(text, text)
        if word in served:
            return Family(word)
    raise BadInput(field, shown(text), "one of " + ", ".join([*map(str, served), *FAMILY_ALIASES]))


def find_row(text: object, field: str = "family") -> FamilySpec:
    """Returns the row of that name, aliases included. Raises BadInput naming the field."""
    row = FAMILIES.get(FAMILY_ALIASES.get(text, text)) if isinstance(text, str) else None
    if row is None:
        raise BadInput(field, shown(text), "one of " + ", ".join([*FAMILIES, *FAMILY_ALIASES]))
    return row
