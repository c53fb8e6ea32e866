"""The graphs that onnxruntime-web is timed on compute what they say, by native onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from webinfer.bench.product_graphs import make_product
from webinfer.commands.bench import command


@pytest.mark.parametrize("bits", [2, 4, 32])
def test_a_product_is_that_of_its_weights(bits: int) -> None:
    product = make_product(bits, 24, 96)
    session = ort.InferenceSession(product.content, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(5).standard_normal((3, 96)).astype(np.float32)
    wanted = x @ product.weights.T
    # onnxruntime may round x to 8 bits first: accuracy level 4.
    assert session.run(None, {"x": x})[0] == pytest.approx(wanted, abs=0.02 * float(np.abs(wanted).max()))
    assert product.size_bytes == {2: 24 * 96 // 4 + 24 * 3 * 4, 4: 24 * 96 // 2 + 24 * 3 * 4}.get(
        bits, 24 * 96 * 4
    )


def test_what_is_no_regular_expression_is_refused_by_name() -> None:
    found = CliRunner().invoke(command, ["kernels", "--cases", "["])
    assert found.exit_code == 2
    assert "'[' is no regular expression" in found.output
