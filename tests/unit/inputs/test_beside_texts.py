"""Images with texts beside them, and texts alone, as producers give them and as they arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, TooLarge
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from tasks.inputs.arrival import check_plain
from tasks.inputs.limits import InputLimits
from tasks.inputs.normalise import normalise
from tasks.payloads.codec import dumps, loads
from tasks.payloads.summaries import describe_inputs
from tasks.sending.wire import to_message, unpack_inputs

IMAGE = np.zeros((4, 6, 3), np.uint8)


def read(inputs: Any, limits: InputLimits | None = None) -> tuple[list[Any], bool]:
    plain = normalise(Family.VISION, inputs, limits or InputLimits())
    return plain.inputs["images"], plain.single


@pytest.mark.parametrize(
    ("inputs", "texts", "single"),
    [
        ({"image": IMAGE, "text": ["a cat", "a dog"]}, [["a cat", "a dog"]], True),
        ({"image": IMAGE, "text": "a cat"}, [["a cat"]], True),
        (
            [{"image": IMAGE, "text": ["a cat"]}, {"image": IMAGE, "text": ["a dog"]}],
            [["a cat"], ["a dog"]],
            False,
        ),
        ({"text": "a cat"}, [["a cat"]], True),
        ({"text": ["a cat", "a dog"]}, [["a cat"], ["a dog"]], False),
        ({"images": [{"text": "a cat"}]}, [["a cat"]], False),
        ({"success": True, "output": {"text": "heard", "duration_s": 1.5}}, [["heard"]], True),
    ],
)
def test_texts_alone_or_beside_an_image(inputs: Any, texts: list[list[str]], single: bool) -> None:
    items, is_single = read(inputs)
    assert ([item["texts"] for item in items], is_single) == (texts, single)


def test_texts_beside_a_sound_travel_whole() -> None:
    wave = np.zeros(44_100, np.float32)
    given = [{"audio": wave, "sampling_rate": 44_100, "text": ["rain", "a dog"]}, {"text": "rain"}]
    plain = normalise(Family.AUDIO, given, InputLimits())
    sent = Request(Family.AUDIO, "digits-clap", plain.inputs, single=plain.single)
    message = loads(dumps(to_message(sent)))["request"]
    arrived = Request.from_wire(message | {"inputs": unpack_inputs(message["inputs"])})
    check_plain(arrived, InputLimits())
    first, second = arrived.inputs["sounds"]
    assert (first["texts"], first["audio"]["rate_hz"], second) == (
        ["rain", "a dog"],
        44_100,
        {"texts": ["rain"]},
    )
    assert np.array_equal(first["audio"]["audio"], wave)
    assert describe_inputs(arrived.inputs) == "2 sounds 1.00 s with 2 texts, 'rain'"


def test_a_bare_shape_may_have_texts_beside_it() -> None:
    ((item,), _) = read({"image": {"width": 6, "height": 4}, "text": ["a cat"]})
    assert item["image"].shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"image": IMAGE, "text": []},
            r"inputs\.text is a list of 0 texts, but must be a text or a list of 1 to 1000",
        ),
        ({"image": IMAGE, "text": ["a", 7]}, r"inputs\.text\[1\] is of type int"),
        ({"image": IMAGE, "label": "a"}, "inputs is holding 'label', but must be made of image and text"),
        ({"image": IMAGE, "text": "a", "label": "a"}, "inputs is holding 'label'"),
        ({"image": 7, "text": "a"}, "of type int, but must be an image"),
        ({"images": [IMAGE], "text": "a"}, "inputs is holding 'images', but must be made of image and text"),
        ({"img": IMAGE, "text": "a"}, "inputs is holding 'img', but must be made of image and text"),
    ],
)
def test_what_is_neither_is_named(inputs: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(inputs)


def test_texts_beside_images_count_as_texts_do() -> None:
    with pytest.raises(TooLarge):
        read([{"text": "x" * 60}, {"text": "x" * 60}], InputLimits(max_text_bytes=100))


def request(items: list[Any]) -> Request:
    return Request(Family.VISION, "digits-clip", {"images": items}, single=False)


def test_it_travels_whole() -> None:
    items, _ = read([{"image": IMAGE, "text": ["a cat", "a dog"]}, {"text": "a cat"}, IMAGE])
    message = loads(dumps(to_message(request(items))))
    arrived = Request.from_wire(message["request"] | {"inputs": unpack_inputs(message["request"]["inputs"])})
    check_plain(arrived, InputLimits())
    first, second, third = arrived.inputs["images"]
    assert (first["texts"], second) == (["a cat", "a dog"], {"texts": ["a cat"]})
    assert np.array_equal(first["image"], IMAGE) and np.array_equal(third, IMAGE)
    assert describe_inputs(arrived.inputs) == "3 images 6x4 with 2 texts, 'a cat', 6x4"


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"image": IMAGE},
        {"texts": []},
        {"texts": "a"},
        {"texts": ["a"], "image": 7},
        {"texts": ["a"], "x": 1},
    ],
)
def test_a_hand_made_item_is_checked_where_it_arrives(item: Any) -> None:
    if item == {"texts": "a"}:  # one text: what `read_texts` takes too
        check_plain(request([item]), InputLimits())
        return
    with pytest.raises(BadInput):
        check_plain(request([item]), InputLimits())
