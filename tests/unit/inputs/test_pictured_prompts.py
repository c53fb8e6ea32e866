"""Prompts and chats about images, in every form that a user may give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from tasks.inputs import normalise
from tasks.inputs.arrival import check_plain
from tasks.inputs.limits import InputLimits

A, B = (np.full((4, 5, 3), shade, np.uint8) for shade in (0, 255))
SHOWN = {"type": "image", "image": A}
TEXT = {"type": "text", "text": "Which?"}


def read(value: Any) -> list[Any]:
    plain = normalise(Family.MULTIMODAL, value, InputLimits())
    check_plain(Request(Family.MULTIMODAL, "m", plain.inputs, single=plain.single), InputLimits())
    return list(plain.inputs["images"])


@pytest.mark.parametrize(
    ("value", "images", "told"),
    [
        ({"images": [A, B], "text": "Which?"}, [A, B], {"texts": ["Which?"]}),
        ({"image": A, "prompt": "<image>"}, [A], {"prompt": "<image>"}),
        (
            [{"role": "user", "content": [SHOWN, TEXT]}],
            [A],
            {"messages": [{"role": "user", "content": [{"type": "image"}, TEXT]}]},
        ),
        (
            {"images": [B], "messages": [{"role": "user", "content": [{"type": "image"}, TEXT]}]},
            [B],
            {"messages": [{"role": "user", "content": [{"type": "image"}, TEXT]}]},
        ),
        (
            {"messages": [{"role": "user", "content": "Hello"}]},
            [],
            {"messages": [{"role": "user", "content": "Hello"}]},
        ),
    ],
)
def test_every_form_becomes_plain(value: Any, images: list[Any], told: dict[str, Any]) -> None:
    (item,) = read(value)
    assert {key: item[key] for key in told} == told
    assert len(item["images"]) == len(images)
    assert all(np.array_equal(one, other) for one, other in zip(item["images"], images, strict=True))


def test_images_and_texts_stay_what_they_are_for_a_clip() -> None:
    (both,) = read({"image": A, "text": ["a", "b"]})
    assert set(both) == {"image", "texts"}
    assert len(read({"images": [A, B]})) == 2
    assert len(read([[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]])) == 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"images": [A], "text": "a", "prompt": "b"}, "holding 'prompt' and 'text'"),
        ({"images": [A], "text": ["a", "b"]}, "one text about several images"),
        ({"images": A, "text": "a"}, "a list of images"),
        ({"image": A, "images": [B], "text": "a"}, "one of the two"),
        ({"images": [A], "messages": [{"role": "user", "content": [SHOWN]}]}, "both in and beside"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "image_url"),
        ([{"role": "user", "content": [SHOWN | {"detail": "low"}]}], "must be a text, or a list of"),
        ([{"role": "robot", "content": "a"}], "one of system, user, assistant"),
        ({"images": [A] * 65, "text": "a"}, "at most 64"),
    ],
)
def test_other_forms_are_refused_by_name(value: Any, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        read(value)
