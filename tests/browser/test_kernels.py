"""The kernels of our own in real browsers: their case table, on every variant that a browser can run."""

from __future__ import annotations

import pytest

from browser_runtime.contract.errors import Unsupported
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.pool import Pool
from tests.browser.engines import ONE_OF_EACH

pytestmark = pytest.mark.asyncio(loop_scope="module")


# A software adapter takes seconds for the large ones.
SIZES = "7x33|5x4099|norm 33|silu|rope|k3v2|k2v2, 65|k4v3|k8v8|k16v4|log_mel|choice"


# Firefox 153 reads fp16 wrongly on lavapipe; choosing leaves out a variant that fails its proof.
BROKEN = " f16"


async def check_kernels(pool: Pool, backend: Backend, sizes: str = "") -> list[str]:
    """Names of the backend's variants, each of which gives the numbers of its twin in every case."""
    lane = pool.sessions[0].lanes[0]
    answer = await lane.connection.call("kernels", 170, backend=backend, sizes=sizes)
    assert all(variant["cases"] for variant in answer["results"])
    wrong = {
        f"{variant['kernels']}: {case['name']}": case["error"]
        for variant in answer["results"]
        for case in variant["cases"]
        if not case["error"] <= 1 and not variant["kernels"].endswith(BROKEN)
    }
    assert wrong == {}
    return [variant["kernels"] for variant in answer["results"]]


async def test_every_kernel_gives_its_twins_numbers(shared_pool: Pool) -> None:
    names = await check_kernels(shared_pool, Backend.WASM)
    if shared_pool.browser in (Browser.CHROME, Browser.FIREFOX):
        assert names == ["low_bits wasm relaxed", "low_bits wasm simd"]


@ONE_OF_EACH
async def test_every_shader_gives_its_twins_numbers(shared_pool: Pool) -> None:
    assert await check_kernels(shared_pool, Backend.WEBGPU, SIZES)


async def test_the_quickest_variant_is_chosen_by_measuring(shared_pool: Pool) -> None:
    lane = shared_pool.sessions[0].lanes[0]
    answer = await lane.connection.call("kernels", 60, backend="wasm", choose=True)
    quickest = min(answer["measured"], key=lambda row: row["decode_ms"] + row["prefill_ms"] / 8)
    assert answer["kernels"] == quickest["kernels"]
    again = await lane.connection.call("kernels", 60, backend="wasm", choose=True)
    assert again == answer, "measured once in a lane"
    with pytest.raises(Unsupported, match="wasm and webgpu"):
        await lane.connection.call("kernels", 60, backend="webnn", choose=True)
