"""Whisper's prompts and lengths: what transformers decodes with; what is refused, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.decoding import DecodingPlan

# Made by transformers itself: data/make_whisper_prompts.py.
STORED = json.loads((Path(__file__).parent / "data/whisper_prompts.json").read_text())
END, START, EN, DE, TRANSCRIBE, TRANSLATE, SILENT = range(10, 17)
ONE = {"decoder_start_token_id": START, "eos_token_id": END, "no_timestamps_token_id": SILENT}
MANY = ONE | {
    "lang_to_id": {"<|en|>": EN, "<|de|>": DE},
    "task_to_id": {"transcribe": TRANSCRIBE, "translate": TRANSLATE},
}


def describe(case: dict[str, Any]) -> str:
    telling = ("forced_decoder_ids", "language", "task", "max_length", "max_new_tokens", "is_multilingual")
    chosen = {key: value for key, value in case["generation"].items() if key in telling}
    return f"{chosen} {case['options']}"


@pytest.mark.parametrize("case", STORED["cases"], ids=describe)
def test_prompts_and_lengths_are_those_of_transformers(case: dict[str, Any]) -> None:
    options = case["options"]
    try:
        choices = DecodingPlan.of(case["generation"], case["config"]).choose(options)
    except BadInput as error:
        # What transformers meets in a run only is refused when the model comes in.
        assert "refused" in case or "generation_config.json" in str(error), str(error)
        return
    assert "refused" not in case, choices
    heard = [STORED["heard"]] if choices["languages"] else []
    assert [*choices["before"], *heard, *choices["after"]] == case["prompt"]
    assert choices["max_new_tokens"] == case["n_tokens"]


def test_enough_cases_are_not_refused() -> None:
    assert sum("refused" not in case for case in STORED["cases"]) >= 60


def test_a_recognised_language_is_picked_among_the_models_own() -> None:
    plan = DecodingPlan.of(MANY, {})
    assert plan.choose({}) == {
        "before": [START],
        "languages": [EN, DE],
        "after": [SILENT],
        "max_new_tokens": 445,
    }
    assert plan.example() == {
        "before": [START],
        "languages": [],
        "after": [EN, SILENT],
        "max_new_tokens": 2,
    }


def test_a_transcript_with_time_stamps_is_asked_for_without_the_token_that_forbids_them() -> None:
    plan = DecodingPlan.of(MANY | {"max_initial_timestamp_index": 50}, {"vocab_size": 1600})
    found = plan.choose({"language": "de", "return_timestamps": True})
    assert (found["before"], found["after"]) == ([START, DE, TRANSCRIBE], [])
    assert found["stamps"] == {"begin": SILENT + 1, "end": END, "most_first": 50}
    forced = MANY | {"forced_decoder_ids": [[1, EN], [2, TRANSCRIBE], [3, SILENT]]}
    assert DecodingPlan.of(forced, {}).choose({"return_timestamps": True})["before"] == [
        START,
        EN,
        TRANSCRIBE,
    ]


@pytest.mark.parametrize(
    ("generation", "config"),
    [({"decoder_start_token_id": START, "eos_token_id": END}, {}), (MANY, {"vocab_size": SILENT + 1})],
)
def test_a_model_without_time_stamps_refuses_them(generation: dict[str, Any], config: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"options.return_timestamps .* this model has no time stamps"):
        DecodingPlan.of(generation, config).choose({"return_timestamps": True})


@pytest.mark.parametrize("word", ["en", "English", "<|en|>", "EN"])
def test_a_language_goes_by_its_code_its_name_or_its_token(word: str) -> None:
    assert DecodingPlan.of(MANY, {}).choose({"language": word})["after"] == []
    assert DecodingPlan.of(MANY, {}).choose({"language": word})["before"][1] == EN


def test_what_is_never_said_and_what_ends() -> None:
    plan = DecodingPlan.of(
        MANY | {"eos_token_id": [END, 9], "suppress_tokens": [1, -1, 2], "begin_suppress_tokens": [3]}, {}
    )
    assert (plan.ends, plan.never, plan.not_first) == ((END, 9), (1, 2), (3,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"language": "klingon"},
            "options.language is 'klingon', but must be one of de, en, or such a language's",
        ),
        ({"language": "fr"}, "options.language is 'fr'"),
        ({"task": "sing"}, "options.task is 'sing', but must be one of transcribe, translate"),
        (
            {"max_new_tokens": 446},
            "options.max_new_tokens is 446, but must be at most 445: the model has 448",
        ),
    ],
)
def test_choices_are_held_to_what_the_model_has(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        DecodingPlan.of(MANY, {}).choose(options)


@pytest.mark.parametrize(
    "generation", [ONE, ONE | {"is_multilingual": False}, MANY | {"is_multilingual": False}]
)
def test_a_model_of_one_language_takes_no_choice(generation: dict[str, Any]) -> None:
    plan = DecodingPlan.of(generation, {})
    for options in ({"language": "en"}, {"task": "translate"}):
        with pytest.raises(BadInput, match=r"options\.\w+ is '\w+', but must be left out"):
            plan.choose(options)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"num_beams": 5},
            "num_beams of generation_config.json is 5, but must be left out or 1: decoding is greedy",
        ),
        ({"do_sample": True}, "do_sample .* is True, but must be left out or False: decoding is greedy here"),
        ({"return_timestamps": True}, "return_timestamps .* a request asks for timestamps"),
        ({"repetition_penalty": 1.2}, "repetition_penalty .* is 1.2, but must be left out or 1: logits"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size"),
        (
            {"bad_words_ids": [[3]]},
            r"bad_words_ids .* is \[\[3\]\], but must be left out: it is not understood",
        ),
        ({"no_speech_threshold": 0.6}, "no_speech_threshold .* not understood"),
        ({"supress_tokens": [3]}, r"supress_tokens .* \(did you mean 'suppress_tokens'\?\)"),
        ({"forced_decoder_ids": [[1, 3], [3, 4]]}, "forced_decoder_ids .* from 1 on without a gap"),
        ({"forced_decoder_ids": [1, 3]}, "forced_decoder_ids"),
        (
            {"language": "klingon"},
            "language of generation_config.json is 'klingon', but must be one of de, en",
        ),
        ({"language": "en", "lang_to_id": None}, "language .* left out: the model has no lang_to_id"),
        ({"task": "translate", "task_to_id": None}, "task .* one of task_to_id: it has none"),
        (
            {"decoder_start_token_id": None},
            "decoder_start_token_id .* is missing, but must be the number of a token",
        ),
        ({"eos_token_id": "end"}, "eos_token_id .* is 'end'"),
        ({"suppress_tokens": ["a"]}, "suppress_tokens"),
        ({"max_length": 0}, "max_length .* is 0, but must be a whole number from 1"),
        ({"max_new_tokens": 446}, "max_target_positions of config.json is missing, but must be at least 449"),
        ({"lang_to_id": ["<|en|>"]}, "lang_to_id"),
    ],
)
def test_what_is_not_done_is_refused_by_name(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        DecodingPlan.of(MANY | keys, {})


def test_what_every_published_whisper_says_is_accepted() -> None:
    published = {
        "alignment_heads": [[2, 2]],
        "bos_token_id": 50257,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "pad_token_id": 50257,
        "prev_sot_token_id": 50361,
        "is_multilingual": True,
        "return_timestamps": False,
        "transformers_version": "4.31.0",
        "forced_decoder_ids": [[1, None], [2, 3]],
        "_from_model_config": True,
        "use_cache": True,
        "num_beams": 1,
        "do_sample": False,
        "temperature": 1.0,
    }
    assert DecodingPlan.of(MANY | published, {}).choose({})["after"] == [3, SILENT]
