"""The shelf of one lane: who has to go before another model is loaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.vocabulary import Backend
from browser_runtime.session.loading import LoadedModel, Shelf

sizes = st.integers(0, 100)


def put(shelf: Shelf, key: str, size_bytes: int) -> None:
    shelf.put(LoadedModel(key, Backend.WASM, {"weight_bytes": size_bytes}))


@given(st.integers(1, 4), sizes, st.lists(sizes, max_size=12))
def test_what_is_loaded_is_within_both_limits_but_for_one_that_is_too_large_alone(
    limit: int, max_bytes: int, models: list[int]
) -> None:
    shelf = Shelf(limit, max_bytes)
    for number, size_bytes in enumerate(models):
        while (key := shelf.overdue(size_bytes)) is not None:
            shelf.drop(key)
        put(shelf, str(number), size_bytes)
        assert len(shelf.loaded) <= limit
        assert shelf.held_bytes <= max_bytes or len(shelf.loaded) == 1


def test_the_least_recently_used_goes_first() -> None:
    shelf = Shelf(3, 100)
    for key in "abc":
        put(shelf, key, 30)
    assert shelf.take("a")
    assert shelf.overdue(10) == "b"
    shelf.drop("b")
    assert shelf.overdue(40) is None
    assert shelf.overdue(41) == "c"


def test_an_empty_shelf_has_nobody_to_send_away() -> None:
    assert Shelf(1, 10).overdue(1000) is None
