"""A model's family is told by its config.json; what no family serves is refused by name."""

from __future__ import annotations

import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.intake.traits import infer_family


@pytest.mark.parametrize(
    ("model_type", "architecture", "family"),
    [
        ("clap", "ClapModel", "clap"),
        ("siglip", "SiglipModel", "clip"),
        ("modernbert", "ModernBertModel", "text_embedding"),
        ("dinov2", "Dinov2ForImageClassification", "vision"),
        ("whisper", "WhisperForConditionalGeneration", "audio"),
    ],
)
def test_the_family_of_a_model(model_type: str, architecture: str, family: str) -> None:
    config = {"model_type": model_type, "architectures": [architecture], "vocab_size": 9}
    assert infer_family("m", config).name == family


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("moonshine", "MoonshineForConditionalGeneration"),
        ("wav2vec2", "Wav2Vec2ForCTC"),
        ("distilbert", "DistilBertForSequenceClassification"),
        ("detr", "DetrForObjectDetection"),
    ],
)
def test_a_type_that_no_family_serves_is_named_beside_those_that_are(
    model_type: str, architecture: str
) -> None:
    words = (
        rf"model 'm' is of the type '{model_type}' \({architecture}\), which is not served, but must be one "
        r"that is: text_embedding \(\.\.\.Model, \.\.\.ForMaskedLM\); .*audio \(whisper\); .*clap \(clap\)"
    )
    with pytest.raises(BadInput, match=words):
        infer_family("m", {"model_type": model_type, "architectures": [architecture], "vocab_size": 9})


@pytest.mark.parametrize(
    ("architecture", "key"),
    [("Wav2Vec2Model", "conv_kernel"), ("HubertModel", "conv_kernel"), ("BeitModel", "image_size")],
)
def test_an_encoder_of_something_else_is_no_encoder_of_texts(architecture: str, key: str) -> None:
    config = {"model_type": "m", "architectures": [architecture], "vocab_size": 32, key: [10, 3]}
    with pytest.raises(BadInput, match=rf"of the type 'm' \({architecture}\), which is not served"):
        infer_family("m", config, pipeline="feature-extraction")


def test_files_that_tell_no_type_are_asked_for_a_family() -> None:
    with pytest.raises(BadInput, match=r"not clear from its config.json .* must be given as one of"):
        infer_family("m", {})
