"""The model cache of one lane: who has to go before another model is loaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.answers import LoadAnswer, LoadedPart
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend, Precision
from browser_runtime.families.processor import Processor
from browser_runtime.models.files.graphs import GraphContent
from browser_runtime.session.loading import LoadedModel, ModelCache

sizes = st.integers(0, 100)


def key(name: str) -> ModelKey:
    return ModelKey.of(name, "r1", Backend.WASM, Precision.FP32)


def put(cache: ModelCache, name: str, size_bytes: int) -> None:
    cache.put(LoadedModel(key(name), {"weight_bytes": size_bytes}, Processor()))


def needs(size_bytes: int) -> list[GraphContent]:
    return [GraphContent("its own", size_bytes)]


def put_sharing(cache: ModelCache, name: str, **parts: int) -> None:
    """A model of graphs, each under its content."""
    listed = [LoadedPart(name=f"wasm|{part}|", size_bytes=n, shared=False) for part, n in parts.items()]
    answer = LoadAnswer(weight_bytes=sum(parts.values()), parts=listed)
    cache.put(LoadedModel(key(name), answer, Processor(), contents=frozenset(parts)))


def test_what_models_share_counts_once() -> None:
    cache = ModelCache(4, 1000)
    put_sharing(cache, "clip", tower=60, texts=20)
    put_sharing(cache, "classifier", tower=60, head=1)
    assert cache.held_bytes == 81
    assert cache.contents == {"tower", "texts", "head"}
    llava = [GraphContent("tower", 60), GraphContent("language", 100)]
    assert cache.missing_bytes(llava, Backend.WASM) == 100
    assert cache.missing_bytes(llava, Backend.WEBGPU) == 160
    cache.drop(key("clip"))
    assert cache.held_bytes == 61


def test_models_that_hold_what_is_needed_and_those_that_free_nothing_go_last() -> None:
    cache = ModelCache(9, 100)
    put_sharing(cache, "clip", tower=60, texts=20)
    put_sharing(cache, "twin", tower=60, texts=20)
    put_sharing(cache, "bert", words=20)
    needed = [GraphContent("tower", 60), GraphContent("head", 5)]
    assert cache.overdue(needed, backend=Backend.WASM) == key("bert")
    assert cache.overdue([GraphContent("other", 5)], backend=Backend.WASM) == key("bert")
    cache.drop(key("bert"))
    assert cache.overdue(needed, backend=Backend.WASM) is None


@given(st.integers(1, 4), sizes, st.lists(sizes, max_size=12))
def test_what_is_loaded_is_within_both_limits_but_for_one_that_is_too_large_alone(
    limit: int, max_bytes: int, models: list[int]
) -> None:
    cache = ModelCache(limit, max_bytes)
    for number, size_bytes in enumerate(models):
        while (overdue := cache.overdue(needs(size_bytes))) is not None:
            cache.drop(overdue)
        put(cache, str(number), size_bytes)
        assert len(cache.loaded) <= limit
        assert cache.held_bytes <= max_bytes or len(cache.loaded) == 1


def test_the_least_recently_used_goes_first() -> None:
    cache = ModelCache(3, 100)
    for name in "abc":
        put(cache, name, 30)
    assert cache.take(key("a"))
    assert cache.overdue(needs(10)) == key("b")
    cache.drop(key("b"))
    assert cache.overdue(needs(40)) is None
    assert cache.overdue(needs(41)) == key("c")


def test_an_empty_cache_has_nobody_to_send_away() -> None:
    assert ModelCache(1, 10).overdue(needs(1000)) is None
