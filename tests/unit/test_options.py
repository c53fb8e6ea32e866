"""The options of a request: one table, held where a request is built and again where it arrives."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import served_families
from browser_runtime.contract.messages import Request
from browser_runtime.contract.options import (
    COMMON_OPTIONS,
    LOAD_FLAGS,
    check_options,
    list_options,
    options_of,
)
from browser_runtime.contract.vocabulary import Family
from tasks import infer
from tasks.arguments import bind, build_load, build_request
from tasks.inputs.limits import InputLimits

TONE = {"model_type": "audio", "model_name": "tones-whisper", "inputs": {"audio": {"duration": 0.1}}}


def test_an_unknown_option_is_refused_with_the_one_that_was_meant() -> None:
    words = (
        r"the option 'langauge' is unknown to audio \(did you mean 'language'\?\), but must be one of lang"
    )
    with pytest.raises(BadInput, match=words):
        build_request(bind((), TONE | {"options": {"langauge": "de"}}), InputLimits())
    with pytest.raises(BadInput, match=words):
        build_load(TONE | {"options": {"langauge": "de"}})
    with pytest.raises(BadInput, match="'langauge' is unknown to any family"):
        infer.s(model_name="x", options={"langauge": "de"})


def test_an_option_of_another_family_is_refused() -> None:
    with pytest.raises(BadInput, match="the option 'temperature' is unknown to audio, but"):
        build_request(bind((), TONE | {"options": {"temperature": 1.0}}), InputLimits())
    with pytest.raises(BadInput, match="the option 'top_k' is unknown to text_embedding, but"):
        check_options({"top_k": 3}, Family.TEXT_EMBEDDING)


def test_what_another_producer_sent_is_checked_where_it_arrives() -> None:
    wire = build_request(bind((), TONE), InputLimits()).to_wire()
    with pytest.raises(BadInput, match="did you mean 'language'"):
        Request.from_wire(wire | {"options": {"langauge": "de"}})
    with pytest.raises(BadInput, match="options is of type list, but must be a dict"):
        Request.from_wire(wire | {"options": ["language"]})
    assert Request.from_wire(wire | {"options": {"language": None}}).options == {}


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("vision", {"top_k": 0}, r"options\.top_k is 0, but must be a whole number from 1 to 1000"),
        ("vision", {"top_k": 10**9}, r"options\.top_k is 1000000000, but"),
        ("vision", {"top_k": True}, r"options\.top_k is True, but"),
        ("vision", {"top_k": 2.0}, r"options\.top_k is 2\.0, but"),
        ("vision", {"function_to_apply": "tanh"}, "'tanh', but must be one of softmax, sigmoid, none"),
        ("audio", {"task": "sing"}, r"options\.task is 'sing', but must be one of transcribe, translate"),
        ("audio", {"language": ["de"]}, r"options\.language is \['de'\], but must be a word"),
        ("audio", {"language": "x" * 999}, r"options\.language is 'x{90,}\.\.\., but"),
        ("audio", {"max_new_tokens": "9"}, r"options\.max_new_tokens is '9', but"),
        ("audio", {"max_new_tokens": float("inf")}, r"options\.max_new_tokens is inf, but"),
        ("text_embedding", {"compute_shaders": 1}, r"options\.compute_shaders is 1, but must be True or"),
        ("text_embedding", {7: True}, "the option 7 is unknown to text_embedding, but"),
    ],
)
def test_a_value_is_held_to_its_option(family: str, options: dict[Any, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_options(options, Family(family))


def test_each_served_family_has_flags_and_its_own_options() -> None:
    for family in served_families():
        assert set(COMMON_OPTIONS) <= set(options_of(family))
    assert set(LOAD_FLAGS) - set(COMMON_OPTIONS) == {"kv_cache"}
    assert set(options_of(Family.VISION)) >= {"top_k", "function_to_apply"}
    assert all(option.summary and option.allowed for option, _ in list_options())


def test_several_texts_may_come_as_a_tuple() -> None:
    assert check_options({"candidate_labels": ("a cat", "a dog")}, Family.VISION) == {
        "candidate_labels": ["a cat", "a dog"]
    }
