"""The tensor serializer: what goes in comes out, and hostile bytes come to nothing but CodecError."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from celery.utils.functional import regen
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasks import infer
from tasks.payloads import codec
from tasks.payloads.codec import ARRAY, CLAIM, MAX_DEPTH, Claim, CodecError, Readable

ARRAYS = st.sampled_from(codec.DTYPES).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    PLAIN | ARRAYS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(value, codec.loads(codec.dumps(value)))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_codec_error(data: bytes) -> None:
    with suppress(CodecError):
        codec.loads(data)


@given(VALUES, st.data())
def test_flipped_bytes_give_a_value_or_a_codec_error(value: Any, data: st.DataObject) -> None:
    message = bytearray(codec.dumps(value))
    where = data.draw(st.integers(0, len(message) - 1))
    message[where] ^= data.draw(st.integers(1, 255))
    with suppress(CodecError):
        codec.loads(bytes(message))


def test_arrays_can_be_written_to_and_strides_do_not_matter() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2]
    back = codec.loads(codec.dumps(array))
    np.testing.assert_array_equal(array, back)
    back += 1


def test_times_scalars_tuples_and_readables_travel() -> None:
    now = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)
    value = [now, np.float32(0.5), (1, 2), Readable(np.ones(2), "two"), Readable({"a": np.zeros(1)}, "a")]
    back = codec.loads(codec.dumps(value))
    assert back[:3] == [now, 0.5, [1, 2]]
    assert back[3].tolist() == [1, 1] and back[4]["a"].tolist() == [0]
    assert repr(Readable(np.ones(2), "two")) == "two"


class Colour(str, enum.Enum):  # noqa: UP042  # `str()` of it is not its value, unlike a StrEnum's
    RED = "red"


class Number(enum.IntEnum):
    TWO = 2


class OtherBytes(bytes):
    """Bytes of another class."""


def test_subclasses_of_plain_types_travel_as_what_they_hold() -> None:
    """Celery's lazy lists are subclasses of list that hold their items elsewhere: `json` copes with them."""
    value = {
        "tasks": regen(iter([{"task": "a"}, {"task": "b"}])),
        "signature": infer.si(model_type="text", model_name="bert", inputs="x"),
        "words": (Colour.RED, np.str_("blue"), OtherBytes(b"x")),
        "numbers": [Number.TWO, np.float64(0.5), True],
        "ordered": OrderedDict(b=1, a=regen(x for x in "xy")),
        "named": Readable(regen(iter([1, 2])), "two"),
    }
    back = codec.loads(codec.dumps(value))
    assert back["tasks"] == [{"task": "a"}, {"task": "b"}] and back["named"] == [1, 2]
    assert back["signature"] == json.loads(json.dumps(value["signature"]))
    assert back["words"] == ["red", "blue", b"x"] and back["numbers"] == [2, 0.5, True]
    assert list(back["ordered"].items()) == [("b", 1), ("a", ["x", "y"])]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.array([object()]),
        np.array(["text"]),
        2**64,
        {("a",): 1},
        np.array(1 + 2j),
        "\ud800",
    ],
    ids=(
        "object",
        "set",
        "array of objects",
        "array of texts",
        "65 bits",
        "tuple key",
        "complex",
        "surrogate",
    ),
)
def test_what_cannot_travel_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        codec.loads(codec.dumps(value))


def head(*values: int) -> bytes:
    return bytes(values[:2]) + b"".join(value.to_bytes(4, "little") for value in values[2:])


@pytest.mark.parametrize(
    "data",
    [
        head(0, 1, 2) + b"\0" * 7,
        head(0, 1, 2) + b"\0" * 9,
        head(99, 0) + b"\0" * 4,
        head(0, 9, *[1] * 9) + b"\0" * 4,
        head(0, 2, 2**32 - 1, 2**32 - 1),
        head(0, 4)[:1],
        b"",
    ],
)
def test_hostile_arrays_are_refused(data: bytes) -> None:
    for code, prefix in ((ARRAY, b""), (CLAIM, b"t" * 16)):
        if code == CLAIM and data[2:6] == (2).to_bytes(4, "little"):
            continue
        with pytest.raises(CodecError):
            codec.loads(msgpack.packb(msgpack.ExtType(code, prefix + data)))


def test_bombs_are_refused() -> None:
    with pytest.raises(CodecError, match="nested"):
        codec.loads(b"\x91" * (MAX_DEPTH + 1) + b"\xc0")
    for bomb in (
        b"\x91" * 100_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\1",
    ):
        with pytest.raises(CodecError):
            codec.loads(bomb)
    with pytest.raises(CodecError, match="over the limit"):
        codec.loads(bytes(codec.MAX_MESSAGE_BYTES + 1))
    with pytest.raises(CodecError):
        codec.loads("text")


def test_unknown_extensions_and_python_objects_are_refused() -> None:
    for code in (0, 4, 42, 127):
        with pytest.raises(CodecError):
            codec.loads(msgpack.packb(msgpack.ExtType(code, b"cos\nsystem\n")))


def test_a_claim_travels_and_only_opens_bytes_of_its_size() -> None:
    claim = Claim(b"t" * 16, "int16", (2, 3))
    assert codec.loads(codec.dumps({"a": [claim]})) == {"a": [claim]}
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    np.testing.assert_array_equal(codec.array_from(claim, array.tobytes()), array)
    with pytest.raises(CodecError):
        codec.array_from(claim, array.tobytes()[1:])
