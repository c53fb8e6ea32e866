"""Whisper: the feature extractor's keys and those of its generation."""

from __future__ import annotations

from browser_runtime.models.configuration import decoding, features
from webinfer.compatibility.markdown import paragraph, section
from webinfer.compatibility.rules import describe_rules


def describe_audio() -> str:
    """The section."""
    return section(
        "Audio: Whisper's preprocessor_config.json and generation_config.json",
        paragraph(
            """The features are transformers' `WhisperFeatureExtractor`'s. A window must have the frames that
            config.json's `max_source_positions` ask for, and `feature_size` is its `num_mel_bins`."""
        ),
        describe_rules("preprocessor_config.json", features.RULES),
        paragraph(
            """Decoding is greedy and without timestamps. Prompts and lengths are transformers': a request's
            `language` and `task` go before the file's, and those before `forced_decoder_ids` (of
            generation_config.json, else of config.json); a language that all leave open is recognised among
            `lang_to_id`. A sound longer than a window is heard in windows that overlap by a sixth, joined
            as transformers' pipeline joins them. One thing is otherwise: where a file has neither
            `max_length` nor `max_new_tokens`, a transcript may be as long as the model has room for, not 20
            tokens."""
        ),
        describe_rules("generation_config.json", decoding.DONE),
        paragraph("""Of another way of decoding only the neutral values:"""),
        describe_rules("generation_config.json", decoding.NEUTRAL | decoding.INERT),
    )
