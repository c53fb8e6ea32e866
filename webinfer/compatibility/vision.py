"""Image classifiers: processors, their keys, and how scores are made."""

from __future__ import annotations

from browser_runtime.models.configuration.processors import (
    INERT,
    PROCESSOR_OF_MODEL,
    PROCESSORS,
    STEPS,
    ProcessorSpec,
)
from browser_runtime.models.configuration.scores import PROBLEM_TYPES
from webinfer.compatibility.markdown import code, paragraph, section, table
from webinfer.compatibility.rules import describe_rules

SCORES = {
    "regression": "the logits themselves",
    "multi_label_classification": "a sigmoid of each logit",
    "single_label_classification": "softmax; a sigmoid if there is one label",
}


def describe_vision() -> str:
    """The section as Markdown."""
    refused = {name for name in PROCESSOR_OF_MODEL.values() if name not in PROCESSORS}
    return section(
        "Vision: preprocessor_config.json and config.json",
        paragraph(
            """Images are processed as by the processors of transformers that use Pillow; a name that ends in
            `Fast` means the same. A file that names no processor gets that of its `model_type`; for an
            unknown `model_type` it must give every number itself."""
        ),
        table(("image processor", "default for model types", "specialities"), map(_row, PROCESSORS.values())),
        paragraph(f"Refused, for example: {code(sorted(refused))}."),
        "Keys of all processors. As in transformers, a step that is null is skipped.",
        describe_rules("preprocessor_config.json", STEPS | INERT),
        paragraph(
            """All images must get the same size, or become tiles of one size: other sizes that depend on the
            image (`shortest_edge` without `do_center_crop`, `longest_edge` without tiles, `max_height`,
            padding) are refused. `num_channels` of
            config.json is 1 or 3; for 1, images become grey as with Pillow's `convert("L")`. Only the part of
            a resized image that the model sees is computed, so an extreme aspect ratio costs no more."""
        ),
        paragraph(
            """Scores are computed as in transformers' image-classification pipeline, by config.json's
            `problem_type`; without one, a single label gets a sigmoid and several get softmax. Other values
            are refused. A label without a name in `id2label` is `LABEL_` and its number."""
        ),
        table(("`problem_type`", "scores"), [(f"`{name}`", SCORES[name]) for name in PROBLEM_TYPES]),
    )


def _row(processor: ProcessorSpec) -> tuple[str, str, str]:
    models = [model for model, name in PROCESSOR_OF_MODEL.items() if name == processor.name]
    own = [f"`{key}`: {rule.allowed}" for key, (rule, _) in processor.keys.items()]
    lacks = [f"without `{step}`" for step in processor.lacks]
    how = [processor.how] if processor.how else []
    return f"`{processor.name}`", code(models), "; ".join((*own, *lacks, *how))
