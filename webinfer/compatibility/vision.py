"""Image classifiers: processors, their keys, and how scores are made."""

from __future__ import annotations

from browser_runtime.models.configuration.processors import (
    INERT,
    PROCESSOR_OF_MODEL,
    PROCESSORS,
    STEPS,
    Processor,
)
from browser_runtime.models.configuration.scores import PROBLEM_TYPES
from webinfer.compatibility.markdown import code, paragraph, section, table
from webinfer.compatibility.rules import describe_rules

SCORES = {
    "regression": "the logits themselves",
    "multi_label_classification": "a sigmoid of each logit",
    "single_label_classification": "softmax; a sigmoid where there is one label",
}


def describe_vision() -> str:
    """The section."""
    refused = {name for name in PROCESSOR_OF_MODEL.values() if name not in PROCESSORS}
    return section(
        "Vision: preprocessor_config.json and config.json",
        paragraph(
            """As the processors of transformers that compute with Pillow; a name that ends in `Fast` means
            the same. A file that names no processor has its `model_type`'s; for a `model_type` that is not
            known it must give every number itself."""
        ),
        table(
            ("image processor", "by default for model types", "of its own"), map(_row, PROCESSORS.values())
        ),
        paragraph(f"Refused, for example: {code(sorted(refused))}."),
        "The keys of every processor. A step that is null is not done, as in transformers.",
        describe_rules("preprocessor_config.json", STEPS | INERT),
        paragraph(
            """All images must come out in one size: sizes that depend on the image (`shortest_edge` without
            `do_center_crop`, `longest_edge`, `max_height`, padding) are refused. `num_channels` of
            config.json is 1 or 3; for 1, images become grey as Pillow's `convert("L")` has it. Only what a
            model sees of the resized image is computed, so an extreme picture costs no more than another of
            its size."""
        ),
        paragraph(
            """Scores are made as in transformers' image-classification pipeline, by config.json's
            `problem_type`; where it has none, one label is a sigmoid and several are softmax. Others are
            refused. A label without a name in `id2label` is `LABEL_` and its number."""
        ),
        table(("`problem_type`", "scores"), [(f"`{name}`", SCORES[name]) for name in PROBLEM_TYPES]),
    )


def _row(processor: Processor) -> tuple[str, str, str]:
    models = [model for model, name in PROCESSOR_OF_MODEL.items() if name == processor.name]
    own = [f"`{key}`: {rule.allowed}" for key, (rule, _) in processor.keys.items()]
    lacks = [f"without `{step}`" for step in processor.lacks]
    how = [processor.how] if processor.how else []
    return f"`{processor.name}`", code(models), "; ".join((*own, *lacks, *how))
