"""A model's key survives its text form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import MODEL_NAME, PAGE_BACKENDS, Precision

KEYS = st.builds(
    ModelKey.of,
    st.from_regex(MODEL_NAME, fullmatch=True),
    st.text("0123456789abcdef", max_size=40),
    st.none() | st.sampled_from(PAGE_BACKENDS),
    st.sampled_from(list(Precision)),
    st.lists(st.sampled_from(["compute_shaders", "dynamic_shapes"]), unique=True).map(tuple),
)


@given(KEYS)
def test_what_is_written_is_read(key: ModelKey) -> None:
    assert ModelKey.parse(str(key)) == key


@given(KEYS, st.sampled_from(PAGE_BACKENDS))
def test_the_same_model_elsewhere(key: ModelKey, backend: str) -> None:
    assert key.on(backend).anywhere() == key.anywhere()  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a|b", "a|b|gpu|fp32|", "a|b|wasm|fp31|"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ModelKey.parse(text)
