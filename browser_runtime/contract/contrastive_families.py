"""Rows of models that compare texts with images or sounds, as CLIP and CLAP: two encoders, one space."""

from __future__ import annotations

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
from browser_runtime.contract.option import Kind, Option
from browser_runtime.contract.vocabulary import Family

IMAGES = InputSpec("images", "image", batch_axes=4, may_hold_texts=True)
# Whisper's rate. CLAP hears more: recordings with a higher rate keep it, up to the highest.
SOUNDS = InputSpec("sounds", "audio", rate_hz=16_000, highest_rate_hz=48_000, may_hold_texts=True)

NORMALIZE = Option(
    "normalize",
    Kind.FLAG,
    "give embeddings length 1; default: as the model's projections leave them, but for CLAP length 1",
)


def zero_shot_options(what: str, template: str) -> tuple[Option, ...]:
    """The options by which labels are scored for an item called `what`."""
    return (
        Option(
            "candidate_labels",
            Kind.TEXTS,
            f"labels to score each {what} by, put into `hypothesis_template`",
            most=1000,
        ),
        Option(
            "hypothesis_template",
            Kind.TEXT,
            f"the text that a candidate label is put into, at `{{}}`; default `{template}`, as in "
            "transformers' pipeline",
        ),
        NORMALIZE,
    )


TOP_K = Option(
    "top_k",
    Kind.COUNT,
    "how many labels to give, likeliest first; default all. All scores are in the output's `logits`",
    most=1000,
)

CLIP = FamilySpec(
    "clip",
    (Family.VISION, Family.MULTIMODAL),
    IMAGES,
    graphs=(
        GraphSpec("vision_model", ("pixel_values",), ("image_embeds", "pooler_output")),
        GraphSpec(
            "text_model",
            ("input_ids", "attention_mask", "position_ids"),
            ("text_embeds", "pooler_output"),
        ),
    ),
    files=FileSpec(
        required=("config.json", "preprocessor_config.json", "tokenizer.json"),
        optional=("processor_config.json", "tokenizer_config.json", "special_tokens_map.json"),
        instead=PREPROCESSING,
    ),
    recognition=Recognition(model_types=("clip", "siglip"), pipelines=("zero-shot-image-classification",)),
    # An image costs what ViT-base's does, and a text of 77 tokens a tenth of it.
    limits=RunLimits(max_batch=8, max_static_graphs=4, warm_up_runs=60, warm_up_ms=3000),
    answer=AnswerSpec(numbers="embedding"),
    sizes="batch free or fixed, each; the others the pixels' own and the texts' own",
    sample={"image": {"width": 224, "height": 224}, "text": ["a photo of a cat", "a photo of a dog"]},
    options=(TOP_K, *zero_shot_options("image", "This is a photo of {}.")),
)

CLAP = FamilySpec(
    "clap",
    (Family.AUDIO,),
    SOUNDS,
    graphs=(
        GraphSpec("audio_model", ("input_features",), ("audio_embeds",)),
        GraphSpec("text_model", ("input_ids", "attention_mask", "position_ids"), ("text_embeds",)),
    ),
    files=FileSpec(
        required=("config.json", "preprocessor_config.json", "tokenizer.json"),
        optional=("processor_config.json", "tokenizer_config.json", "special_tokens_map.json"),
        instead=PREPROCESSING,
    ),
    recognition=Recognition(model_types=("clap",), pipelines=("zero-shot-audio-classification",)),
    # Ten seconds of sound are 1,024 patches: what an image of 384 pixels costs a Swin.
    limits=RunLimits(max_batch=4, max_static_graphs=4, warm_up_runs=60, warm_up_ms=3000),
    answer=AnswerSpec(numbers="embedding"),
    sizes="batch free or fixed, each; the others the features' own and the texts' own",
    sample={"audio": {"duration": 3.0}, "text": ["the sound of a dog", "the sound of rain"]},
    options=(TOP_K, *zero_shot_options("sound", "This is a sound of {}.")),
)
