"""The model cache of one lane: who has to go before another model is loaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend, Precision
from browser_runtime.families.processor import Processor
from browser_runtime.session.loading import LoadedModel, ModelCache

sizes = st.integers(0, 100)


def key(name: str) -> ModelKey:
    return ModelKey.of(name, "r1", Backend.WASM, Precision.FP32)


def put(cache: ModelCache, name: str, size_bytes: int) -> None:
    cache.put(LoadedModel(key(name), {"weight_bytes": size_bytes}, Processor()))


@given(st.integers(1, 4), sizes, st.lists(sizes, max_size=12))
def test_what_is_loaded_is_within_both_limits_but_for_one_that_is_too_large_alone(
    limit: int, max_bytes: int, models: list[int]
) -> None:
    cache = ModelCache(limit, max_bytes)
    for number, size_bytes in enumerate(models):
        while (overdue := cache.overdue(size_bytes)) is not None:
            cache.drop(overdue)
        put(cache, str(number), size_bytes)
        assert len(cache.loaded) <= limit
        assert cache.held_bytes <= max_bytes or len(cache.loaded) == 1


def test_the_least_recently_used_goes_first() -> None:
    cache = ModelCache(3, 100)
    for name in "abc":
        put(cache, name, 30)
    assert cache.take(key("a"))
    assert cache.overdue(10) == key("b")
    cache.drop(key("b"))
    assert cache.overdue(40) is None
    assert cache.overdue(41) == key("c")


def test_an_empty_cache_has_nobody_to_send_away() -> None:
    assert ModelCache(1, 10).overdue(1000) is None
