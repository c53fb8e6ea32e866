"""Encoders of many types answer as transformers does: tiny ones with random weights."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from tests.stand_ins.encoders import IMAGE_MODELS, TEXT_MODELS, check, import_all, question
from webinfer.compatibility.graphs import TESTED

# Those of the built-in models besides.
BUILT_IN = {"text_embedding": {"bert"}, "vision": {"vit"}, "clip": {"clip"}}
Imported = tuple[ModelStore, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    store = ModelStore(tmp_path_factory.mktemp("models"))
    return store, import_all(tmp_path_factory.mktemp("encoders"), store)


def test_the_page_on_compatibility_lists_them() -> None:
    made = {"text_embedding": {*TEXT_MODELS}, "vision": {*IMAGE_MODELS}, "clip": {"siglip"}}
    for family, kinds in made.items():
        assert set(TESTED[family]) == kinds | BUILT_IN[family]


@pytest.mark.parametrize("kind", [*TEXT_MODELS, *IMAGE_MODELS, "siglip"])
def test_it_answers_as_transformers(imported: Imported, kind: str) -> None:
    store, expected = imported
    model = store.find(f"tiny-{kind}")
    assert model is not None and set(expected) == {*TEXT_MODELS, *IMAGE_MODELS, "siglip"}
    family, inputs = question(kind, expected[kind])
    (items,) = inputs.values()
    check(kind, reference(model, family, items), expected[kind], 1e-5)
