"""How texts and images are compared: CLIP's softmax, SigLIP's sigmoid, and what the files must tell."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.comparison import ComparisonPlan


def test_a_clip_s_scores_are_a_softmax_at_the_files_scale() -> None:
    config = {"model_type": "clip", "text_config": {"max_position_embeddings": 48}}
    plan = ComparisonPlan.of(config, {"logit_scale": 12.5})
    assert (plan.scale, plan.bias, plan.function, plan.max_tokens) == (12.5, 0.0, "softmax", 48)
    assert not (plan.pads_fully or plan.is_assumed)


def test_a_clip_without_a_scale_has_that_of_the_published_ones_and_says_so() -> None:
    plan = ComparisonPlan.of({"model_type": "clip", "text_config": None}, {})
    assert (plan.scale, plan.max_tokens, plan.is_assumed) == (100.0, 77, True)


def test_a_siglip_s_scores_are_sigmoids_and_cannot_be_guessed() -> None:
    plan = ComparisonPlan.of({"model_type": "siglip"}, {})
    assert (plan.scale, plan.function, plan.max_tokens, plan.pads_fully) == (None, "sigmoid", 64, True)
    told = ComparisonPlan.of({"model_type": "siglip", "logit_scale": 117.3, "logit_bias": -12.9}, {})
    assert (told.scale, told.bias) == (117.3, -12.9)


def test_a_clap_s_first_positions_are_not_for_tokens_and_its_scale_may_be_where_training_began() -> None:
    plan = ComparisonPlan.of({"model_type": "clap", "logit_scale_init_value": 14.5}, {})
    assert (plan.scale, plan.function, plan.max_tokens, plan.is_assumed) == (14.5, "softmax", 512, True)
    assert "14.5, at which training began, was taken" in plan.doubt
    texts = {"max_position_embeddings": 50, "pad_token_id": 1}
    told = ComparisonPlan.of({"model_type": "clap", "text_config": texts, "logit_scale": 18.2}, {})
    assert (told.scale, told.max_tokens, told.doubt) == (18.2, 48, "")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "model_type of config.json is None, but must be one of clip, siglip, clap"),
        ({"model_type": "clip", "logit_scale": "big"}, "logit_scale of config.json is 'big'"),
        ({"model_type": "clip", "text_config": 7}, "text_config of config.json is 7"),
        (
            {"model_type": "clip", "text_config": {"max_position_embeddings": 0}},
            "max_position_embeddings of text_config of config.json is 0",
        ),
    ],
)
def test_what_is_not_understood_is_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        ComparisonPlan.of(config, {})
