"""Rows of models that compare texts with images, such as CLIP: an encoder each, one space for both."""

from __future__ import annotations

from browser_runtime.contract.family_spec import (
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

ZERO_SHOT_OPTIONS = (
    Option(
        "candidate_labels",
        Kind.TEXTS,
        "labels to score each image by, put into `hypothesis_template`",
        most=1000,
    ),
    Option(
        "hypothesis_template",
        Kind.TEXT,
        "the text that a candidate label is put into, at `{}`; default `This is a photo of {}.`, as in "
        "transformers' pipeline",
    ),
    Option(
        "normalize",
        Kind.FLAG,
        "give embeddings length 1; default: as the model's projections leave them",
    ),
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
        optional=("tokenizer_config.json", "special_tokens_map.json"),
    ),
    recognition=Recognition(model_types=("clip", "siglip"), pipelines=("zero-shot-image-classification",)),
    # An image costs what ViT-base's does, and a text of 77 tokens a tenth of it.
    limits=RunLimits(max_batch=8, max_static_graphs=4, warm_up_runs=60, warm_up_ms=3000),
    answer=AnswerSpec(numbers="embedding"),
    sizes="batch free or fixed, each; the others the pixels' own and the texts' own",
    sample={"image": {"width": 224, "height": 224}, "text": ["a photo of a cat", "a photo of a dog"]},
    options=(
        Option(
            "top_k",
            Kind.COUNT,
            "how many labels to give, likeliest first; default all. All scores are in the output's `logits`",
            most=1000,
        ),
        *ZERO_SHOT_OPTIONS,
    ),
)
