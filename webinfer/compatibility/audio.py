"""Whisper: the feature extractor's keys and those of its generation."""

from __future__ import annotations

from browser_runtime.models.configuration import decoding_rules, features
from webinfer.compatibility.markdown import paragraph, section
from webinfer.compatibility.rules import describe_rules


def describe_audio() -> str:
    """The section as Markdown."""
    return section(
        "Audio: Whisper's preprocessor_config.json and generation_config.json",
        paragraph(
            """Features are those of transformers' `WhisperFeatureExtractor`. A window must have as many
            frames as config.json's `max_source_positions` need, and `feature_size` must be its
            `num_mel_bins`."""
        ),
        describe_rules("preprocessor_config.json", features.RULES),
        paragraph(
            """Decoding is greedy. Prompts and lengths are those of transformers: a
            request's `language` and `task` override the file's, which override `forced_decoder_ids` (of
            generation_config.json, else of config.json); if no language is given, the model detects one of
            `lang_to_id`. A sound longer than a window is processed in windows that overlap by a sixth, joined
            as in transformers' pipeline. With `return_timestamps=True` a reply also has `chunks`, a list of
            `{"text": ..., "timestamp": [start, end]}` in seconds, as transformers' pipeline gives them with
            `chunk_length_s=30` and `stride_length_s=2.5`; an end that the model did not tell is None. Times
            of single words (`"word"`) are refused, as is a model whose vocabulary has no time stamps, such as
            the built-in one. There is one difference in lengths: if a file has neither `max_length` nor
            `max_new_tokens`, a transcript may be as long as the model allows, instead of 20 tokens."""
        ),
        describe_rules("generation_config.json", decoding_rules.DONE),
        paragraph(
            """Other ways of decoding are not supported, so these keys must have their neutral values:"""
        ),
        describe_rules("generation_config.json", decoding_rules.NEUTRAL | decoding_rules.INERT),
    )
