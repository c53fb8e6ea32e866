"""Frames: whatever goes in comes out, and what is not a frame is refused, never crashed on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from browser_runtime.link import frames

DTYPES = sorted(frames.DTYPES)
arrays = hnp.arrays(
    dtype=st.sampled_from(DTYPES).map(np.dtype),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
scalars |= st.floats(allow_nan=False, allow_infinity=False)
keys = st.text(max_size=8).filter(lambda key: key not in ("$blob", "$json", "blobs"))
values = st.recursive(
    scalars | arrays,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
        )
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(same(left[k], right[k]) for k in left)
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@pytest.fixture(params=[frames.LONG_JSON_BYTES, 10, 0], ids=["all short", "some long", "all long"])
def long_from(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """From how many bytes on the JSON of a field is a blob."""
    monkeypatch.setattr(frames, "LONG_JSON_BYTES", request.param)
    return int(request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.dictionaries(keys, values, max_size=5))
def test_what_goes_in_comes_out(long_from: int, message: dict[str, object]) -> None:
    frame = frames.encode(message)
    assert len(frame) % frames.ALIGN == 0
    assert same(message, frames.decode(frame))


@pytest.mark.parametrize(
    "value",
    [
        ["a" * (8 << 20)],
        ["\N{ROCKET}" * 100_000] * 20,
        [{"label": f"tench {n}", "score": n / 7} for n in range(64_000)],
        '"\\\0\u2028' * 20_000,
    ],
    ids=["8 MB of ASCII", "8 MB of emoji", "64 times 1000 labels", "escapes"],
)
def test_long_fields_travel_beside_a_short_header(value: object) -> None:
    frame = frames.encode({"type": "call", "value": value})
    assert int.from_bytes(frame[4:8], "little") < 200
    assert frames.decode(frame) == {"type": "call", "value": value}


def test_what_does_not_fit_says_how_much_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 1000)
    with pytest.raises(frames.FrameTooLarge, match="1072 bytes are over the limit of 1000"):
        frames.encode({"x": np.zeros(992, np.uint8)})
    monkeypatch.setattr(frames, "MAX_JSON_BYTES", 70_000)
    with pytest.raises(frames.FrameTooLarge, match="80002 bytes are over the limit of 70000"):
        frames.encode({"x": "x" * 80_000})


def test_a_lone_surrogate_travels_as_in_javascript() -> None:
    assert frames.decode(frames.encode({"x": "\ud800"})) == {"x": "\ud800"}


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode(noise)


@given(st.dictionaries(keys, values, min_size=1, max_size=3), st.data())
def test_a_damaged_frame_is_refused_or_read_never_crashes(
    message: dict[str, object], data: st.DataObject
) -> None:
    frame = bytearray(frames.encode(message))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    try:
        frames.decode(frame)
    except frames.FrameError as error:
        assert str(error)


@given(st.dictionaries(keys, values, max_size=3), st.integers(1, 40))
def test_a_truncated_frame_is_refused(message: dict[str, object], cut: int) -> None:
    frame = frames.encode(message)
    with pytest.raises(frames.FrameError):
        frames.decode(frame[:-cut])


def test_arrays_are_views_and_cannot_be_written() -> None:
    array = frames.decode(frames.encode({"a": np.arange(1000.0)}))["a"]
    assert not array.flags.owndata
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()], dtype=object),
        np.array(["a"]),
        {1, 2},
        float("nan"),
        np.zeros(1, dtype="complex64"),
    ],
    ids=["object", "text", "set", "nan", "complex"],
)
def test_values_that_cannot_travel_are_named(value: object) -> None:
    with pytest.raises((frames.FrameError, ValueError)):
        frames.encode({"value": value})


def test_a_blob_reference_from_a_caller_is_refused() -> None:
    with pytest.raises(frames.FrameError, match="cannot be a key"):
        frames.encode({"inputs": {"$blob": 0}})
