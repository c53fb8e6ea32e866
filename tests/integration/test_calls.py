"""Models in real browsers, called from inside and outside of event loops."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.errors import BadInput, UnknownModel
from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration
from tests.integration.conftest import CPU, SEVEN

GUIDE_KEYS = {
    *("success", "model_name", "model_type", "browser", "platform", "is_real_hardware", "is_simulation"),
    *("compute_shader_optimized", "precompile_shaders", "precision", "inference_time_ms", "total_time_ms"),
    *("memory_usage_mb", "output"),
}


def label(result: dict[str, Any]) -> str:
    return result["output"]["labels"][0]["label"]


def test_a_result_has_the_guides_keys_and_says_what_ran(digits: PooledModel) -> None:
    result = digits(SEVEN)
    assert set(result) >= GUIDE_KEYS
    assert (result["browser"], result["platform"], label(result)) == ("chrome", "wasm", "7")
    assert result["success"]
    assert not result["is_simulation"] and not result["is_real_hardware"]
    assert result["total_time_ms"] >= result["inference_time_ms"] > 0
    assert result["memory_usage_mb"] > 10


async def test_a_synchronous_call_works_inside_a_running_loop(digits: PooledModel) -> None:
    assert label(digits(SEVEN)) == "7"


def test_it_works_under_anyio(digits: PooledModel) -> None:
    async def ask() -> str:
        return label(digits(SEVEN)) + label(await digits.run(SEVEN))

    assert anyio.run(ask) == "77"


def test_get_model_leaves_nothing_to_load_for_the_first_call(
    shared_integration: ResourcePoolBridgeIntegration,
) -> None:
    # Another test's model may have opened the graph: this one is to have its own.
    preferences = {"priority_list": ["cpu"], "precompile_shaders": True, "tensor_sharing": False}
    model = asyncio.run(shared_integration.get_model("vision", "digits-vit", preferences))
    assert model.loaded["timings"]["compile_ms"] > 0
    assert model.loaded["output"] == []
    timings = model(SEVEN)["timings"]
    assert timings["load_ms"] == timings["compile_ms"] == timings["warmup_ms"] == 0


def test_every_form_of_an_image_is_the_same_image(digits: PooledModel, seven: np.ndarray) -> None:
    forms = [SEVEN, str(SEVEN), SEVEN.read_bytes(), seven, Image.fromarray(seven), {"image": seven}]
    logits = [digits(form)["output"]["logits"] for form in forms]
    for other in logits[1:]:
        np.testing.assert_array_equal(other, logits[0])


def test_each_family_goes_to_its_preferred_browser(digits: PooledModel, sentences: PooledModel) -> None:
    assert digits(SEVEN)["browser"] == digits.browser == "chrome"
    assert sentences("good morning")["browser"] == sentences.browser == "edge"


async def test_many_at_once_come_back_in_order(digits: PooledModel, sentences: PooledModel) -> None:
    texts = [f"sentence number {n}" for n in range(6)]
    alone = [sentences(text)["output"]["embedding"] for text in texts]
    work = [pair for text in texts for pair in ((sentences, text), (digits, SEVEN))]
    for results in (at_once(work), await awaited(work)):
        assert [label(result) for result in results[1::2]] == ["7"] * 6
        found = [result["output"]["embedding"] for result in results[::2]]
        np.testing.assert_allclose(found, alone, atol=1e-4)


def at_once(work: list[tuple[PooledModel, Any]]) -> list[dict[str, Any]]:
    return ResourcePoolBridgeIntegration().execute_concurrent_sync(work)


async def awaited(work: list[tuple[PooledModel, Any]]) -> list[dict[str, Any]]:
    return await ResourcePoolBridgeIntegration().execute_concurrent(work)


async def test_a_failure_is_a_result_and_touches_no_other(
    digits: PooledModel, sentences: PooledModel
) -> None:
    work = [(digits, SEVEN), (digits, b"no image"), (sentences, 5), (sentences, "fine")]
    for results in (at_once(work), await awaited(work)):
        assert [result["success"] for result in results] == [True, False, False, True], results[3].get(
            "error"
        )
        assert results[1]["error"]["code"] == results[2]["error"]["code"] == "BadInput"
        assert "8 bytes that hold no picture" in results[1]["error"]["message"]
        assert set(results[1]) >= GUIDE_KEYS


def test_a_failure_of_a_single_call_is_raised(digits: PooledModel) -> None:
    with pytest.raises(BadInput, match="8 bytes that hold no picture"):
        digits(b"no image")


def test_what_is_no_pair_is_refused(
    shared_integration: ResourcePoolBridgeIntegration, digits: PooledModel
) -> None:
    with pytest.raises(BadInput, match=r"requests\[1\] is .*a pair \(model, inputs\)"):
        shared_integration.execute_concurrent_sync([(digits, SEVEN), digits])  # type: ignore[list-item]


async def test_a_cancelled_call_lets_the_next_one_run(
    shared_integration: ResourcePoolBridgeIntegration, digits: PooledModel
) -> None:
    running = asyncio.create_task(digits.run([SEVEN] * 64))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert label(await digits.run(SEVEN)) == "7"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("telepathy", "digits-vit"), "model_type is 'telepathy', but must be one of text_embedding"),
        (("vision", ""), "model_name is ''"),
        (("vision", "digits-vit", {"priority_list": ["cuda"]}), "priority_list is 'cuda'"),
        (("vision", "digits-vit", {"shaders": True}), "hardware_preferences is holding 'shaders'"),
        (("vision", "digits-vit", {"precision": "q1"}), "precision is 'q1'"),
        (("audio", "digits-vit"), "digits-vit"),
    ],
)
async def test_what_cannot_be_is_one_sentence(
    shared_integration: ResourcePoolBridgeIntegration, arguments: tuple[Any, ...], told: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        await shared_integration.get_model(*arguments)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


async def test_an_unknown_model_is_told_with_near_ones(
    shared_integration: ResourcePoolBridgeIntegration,
) -> None:
    with pytest.raises(UnknownModel, match="did you mean digits-vit"):
        await shared_integration.get_model("vision", "digit-vit", CPU)
