"""What graphs are fed in Python, and that pages feed the same kinds."""

from __future__ import annotations

import re

import numpy as np
import pytest

from browser_runtime.contract.errors import ModelFault
from browser_runtime.link.http_server import PAGE_FOLDER
from browser_runtime.simulation.feeds import DTYPES, GraphInput, TextShape, fit_feeds, pad_rows
from browser_runtime.texts.tokens import Tokens

# onnxruntime's own names for a type differ between its Python and its JavaScript.
IN_JAVASCRIPT = {"tensor(float)": "float32", "tensor(double)": "float64"}


def test_pages_cast_to_the_same_types() -> None:
    script = (PAGE_FOLDER / "families/graphs/feeds.js").read_text()
    makers = re.search(r"const MAKERS = \{(.*?)\n\};", script, re.DOTALL)
    assert makers is not None
    named = set(re.findall(r"^  (\w+):", makers[1], re.MULTILINE))
    assert named == {IN_JAVASCRIPT.get(name, name[len("tensor(") : -1]) for name in DTYPES}


def test_a_text_is_padded_to_what_the_graph_declares() -> None:
    inputs = {
        "input_ids": GraphInput("tensor(int64)", (3, 6)),
        "attention_mask": GraphInput("tensor(float)", (3, 6)),
        "position_ids": GraphInput("tensor(int32)", (1, 6)),
    }
    tokens = Tokens(np.array([2, 5, 3], np.int32), np.array([0, 0, 1], np.int32), False)
    feeds = TextShape.of("tiny", inputs).feed(tokens, pad_id=9, first_position=2)
    assert feeds["input_ids"].tolist() == [[2, 5, 3, 9, 9, 9], [9] * 6, [9] * 6]
    assert feeds["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
    assert feeds["token_type_ids"].tolist()[0] == [0, 0, 1, 0, 0, 0]
    assert feeds["position_ids"].tolist() == [[2, 3, 4, 5, 6, 7]]
    fitted = fit_feeds("tiny", inputs, feeds)
    assert {name: array.dtype for name, array in fitted.items()} == {
        "input_ids": np.int64,
        "attention_mask": np.float32,
        "position_ids": np.int32,
    }


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (GraphInput("tensor(int64)", (None, 4)), r"declares the shape \[any, 4\], not \[1, 3\]"),
        (
            GraphInput("tensor(int64)", (None, None, None)),
            r"declares the shape \[any, any, any\], not \[1, 3\]",
        ),
        (GraphInput("tensor(string)", (None, None)), r"takes tensor\(string\), none of tensor\(float\)"),
    ],
)
def test_what_does_not_fit_is_named(declared: GraphInput, words: str) -> None:
    with pytest.raises(ModelFault, match=f"The model tiny cannot be used: the graph input input_ids {words}"):
        fit_feeds("tiny", {"input_ids": declared}, {"input_ids": np.zeros((1, 3))})


def test_rows_are_added_where_the_graph_takes_more() -> None:
    pixels = np.ones((1, 2, 2))
    assert pad_rows(pixels, None) is pixels and pad_rows(pixels, 1) is pixels
    assert pad_rows(pixels, 3).sum(axis=(1, 2)).tolist() == [4, 0, 0]
