"""Binding and checking what a user passes to `infer`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from tasks import infer
from tasks.arguments import bind, build_request
from tasks.inputs.limits import InputLimits
from tasks.payloads import codec
from tasks.payloads.codec import Readable
from tasks.payloads.summaries import describe_reply, describe_request, describe_value

GOOD = {"model_type": "text", "model_name": "bert-base-uncased", "inputs": "hello"}


def build(**changes: Any) -> Request:
    return build_request(bind((), GOOD | changes), InputLimits())


def test_a_request_is_built_from_plain_words() -> None:
    request = build(priority_list=["webgpu", "cpu", "wasm"], precision="fp16", browser="edge", deadline_s=3)
    assert request.family is Family.TEXT_EMBEDDING and request.inputs == {"texts": ["hello"]}
    assert request.backends == (Backend.WEBGPU, Backend.WASM)
    assert (
        request.precision is Precision.FP16 and request.browser is Browser.EDGE and request.deadline_s == 3.0
    )
    assert Request.from_wire(codec.loads(codec.dumps(request.to_wire()))) == request


def test_hardware_preferences_count_where_an_argument_does_not() -> None:
    preferences = {
        "priority_list": ["webnn"],
        "precision": "int8",
        "compute_shaders": True,
        "mixed_precision": False,
    }
    request = build(hardware_preferences=preferences)
    assert request.backends == (Backend.WEBNN,) and request.precision is Precision.INT8
    assert request.options == {"compute_shaders": True, "mixed_precision": False}
    assert build(hardware_preferences=preferences, priority_list=["wasm"]).backends == (Backend.WASM,)


def test_positions_fill_what_keywords_leave() -> None:
    assert bind(("text", "bert", "hi"), {}) == {"model_type": "text", "model_name": "bert", "inputs": "hi"}
    bound = bind((Readable("x", "shown"),), {"model_type": "text", "model_name": "bert"})
    assert bound["inputs"] == "x"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_type": "sculpture"}, "model_type is 'sculpture', but must be one of text_embedding"),
        ({"model_type": None}, "model_type is None"),
        ({"model_name": ""}, "model_name is ''"),
        ({"model_name": "a\nb"}, "printable"),
        ({"model_name": 7}, "model_name is 7"),
        ({"priority_list": "webgpu"}, "a list of webgpu"),
        ({"priority_list": []}, "priority_list"),
        ({"priority_list": ["cuda"]}, "priority_list is 'cuda'"),
        ({"precision": "fp64"}, "precision is 'fp64'"),
        ({"browser": "opera"}, "browser is 'opera'"),
        ({"options": [1]}, "options is of type list"),
        ({"options": {"a": object()}}, "the option 'a' is unknown to text_embedding"),
        ({"deadline_s": 0}, "deadline_s is 0"),
        ({"deadline_s": "soon"}, "a number of seconds"),
        ({"deadline_s": True}, "a number of seconds"),
        ({"hardware_preferences": []}, "hardware_preferences is of type list"),
        ({"hardware_preferences": {"cuda": True}}, "holding 'cuda'"),
        ({"hardware_preferences": {"compute_shaders": 1}}, "compute_shaders is 1"),
        ({"colour": "red"}, "unknown argument 'colour'"),
    ],
)
def test_bad_arguments_name_the_field(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        build(**changes)


def test_where_text_is_generated_top_k_is_no_number_of_results() -> None:
    few = InputLimits(max_results=100)
    asked = {"model_name": "m", "inputs": ["a"] * 20, "options": {"top_k": 50}}
    assert len(build_request(asked | {"model_type": "text_generation"}, few).inputs["prompts"]) == 20
    pixels = [np.zeros((8, 8, 3), np.uint8)] * 20
    with pytest.raises(BadInput, match="top_k is 50, but must be at most 5 for 20 items"):
        build_request(asked | {"model_type": "vision", "inputs": pixels}, few)


def test_missing_and_surplus_arguments() -> None:
    with pytest.raises(BadInput, match="model_name is missing"):
        build_request({"model_type": "text", "inputs": "x"}, InputLimits())
    with pytest.raises(BadInput, match="at most 9"):
        bind(tuple(range(10)), {})


def test_signatures_are_checked_where_they_are_made() -> None:
    complete = infer.s(**GOOD)
    assert set(complete.kwargs) == {"request"} and complete.kwargs["request"]["inputs"] == {
        "texts": ["hello"]
    }
    assert infer.s(model_type="text", model_name="bert").kwargs == {
        "model_type": "text",
        "model_name": "bert",
    }
    for wrong in ({"model_type": "x"}, {"browser": "opera"}, {"colour": 1}, GOOD | {"inputs": 7}):
        with pytest.raises(BadInput):
            infer.s(**wrong)
    with pytest.raises(BadInput, match="on top of a complete signature"):
        complete.clone(kwargs={"browser": "edge"}).apply_async()
    with pytest.raises(BadInput, match="on top of a complete signature"):
        complete.clone(args=("more",)).apply_async()


def test_nothing_shows_a_tensors_numbers() -> None:
    wire = build(model_type="vision", inputs=np.zeros((224, 100, 3), np.uint8)).to_wire()
    shown = describe_request(wire)
    assert "1 image 100x224" in shown and "array" not in shown
    sounds = build(model_type="audio", inputs=[{"duration": 1.5}] * 5).to_wire()
    assert "5 sounds 1.50 s, 1.50 s, 1.50 s, ..." in describe_request(sounds)
    assert describe_request({}) and describe_request({"inputs": {"images": "x"}})
    assert describe_value({"a": np.zeros((2, 3)), "b": list(range(99))}) == (
        "{'a': 'float64[2, 3]', 'b': [0, 1, 2, ... 99 in all]}".replace("'float64[2, 3]'", "float64[2, 3]")
    )
    reply = {"model_type": "vision", "model_name": "v", "browser": "chrome", "backend": "wasm"}
    reply |= {"is_simulation": True, "inference_time_ms": 1.0, "output": np.zeros(9)}
    assert describe_reply(reply) == "vision v in chrome on wasm (simulation), 1.0 ms: float64[9]"
