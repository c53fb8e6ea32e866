"""Models that describe images and sounds where transformers 5 does: nested in processor_config.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.families import CLIP, VISION
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import find_processor
from browser_runtime.models.configuration.preprocessors import IMAGES, SOUNDS, read_preprocessor
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.intake.traits import choose_files
from browser_runtime.models.manifest import MANIFEST, StoredModel
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from tests.stand_ins.tiny_models import write_classifier, write_json

# Made by transformers itself: tests/data/make_nested_processors.py.
SAVED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/nested_processors.json").read_text())
OWN, NESTED = "preprocessor_config.json", "processor_config.json"


def write_nested(folder: Path, name: str) -> Path:
    """The built-in model as transformers 5 saves it."""
    shutil.copytree(BUILTIN_FOLDER / name, folder, ignore=shutil.ignore_patterns(MANIFEST, OWN))
    write_json(folder / NESTED, SAVED[name])
    return folder


def settings_of(model: StoredModel) -> dict[str, Any]:
    settings = dict(find_processor(model.family).open(model).settings)
    settings.pop("example", None)  # with a seed that is drawn
    return settings


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_processor_means_what_its_own_file_did(store: ModelStore, tmp_path: Path, name: str) -> None:
    model = import_model(write_nested(tmp_path / "source", name), "again", store=store)
    assert OWN not in model.files and NESTED in model.files
    np.testing.assert_equal(settings_of(model), settings_of(store.ensure(name)))


def test_what_is_nested_goes_before_a_file_of_its_own(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    own = json.loads((folder / OWN).read_text())
    write_json(folder / NESTED, {"image_processor": own})
    write_json(folder / OWN, own | {"do_normalize": False})
    nested = settings_of(import_model(folder, "nested", store=store))
    (folder / NESTED).unlink()
    plain = settings_of(import_model(folder, "plain", store=store))
    assert not np.array_equal(nested["pixels"]["levels"], plain["pixels"]["levels"])


def test_what_is_not_done_is_named_where_it_stands(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    own = json.loads((folder / OWN).read_text())
    for change, sentence in (
        ({"do_pad": True}, r"do_pad of image_processor of processor_config\.json is True"),
        ({"image_processor_type": "DonutImageProcessor"}, r"image_processor_type of image_processor of proc"),
    ):
        write_json(folder / NESTED, {"image_processor": own | change})
        with pytest.raises(BadInput, match=sentence):
            import_model(folder, "refused", store=store)
    write_json(folder / NESTED, {"image_processor": []})
    with pytest.raises(
        BadInput, match=r"image_processor of processor_config\.json is \[\], but must be a JSON"
    ):
        import_model(folder, "refused", store=store)


def test_a_processor_that_holds_neither_is_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    (folder / OWN).unlink()
    write_json(folder / NESTED, {"processor_class": "CLIPProcessor", "image_processor": None})
    with pytest.raises(
        BadRequest, match=r"has no preprocessor_config\.json, and no image_processor in a proc"
    ):
        import_model(folder, "refused", store=store)


def test_the_newer_name_of_a_feature_extractor(tmp_path: Path) -> None:
    write_json(tmp_path / NESTED, {"audio_processor": {"feature_size": 80}})
    assert read_preprocessor(tmp_path, SOUNDS).get("feature_size") == 80
    with pytest.raises(BadRequest):
        read_preprocessor(tmp_path, IMAGES)


def test_a_repository_with_either_file_is_pulled_with_it() -> None:
    graphs = ["onnx/vision_model.onnx", "onnx/text_model.onnx"]
    beside = ["config.json", "tokenizer.json"]
    for held in ([OWN], [NESTED], [OWN, NESTED]):
        paths = choose_files("clip", CLIP, Precision.FP32, [*beside, *held, *graphs])
        assert {OWN, NESTED} & set(paths) == set(held)
    with pytest.raises(BadRequest, match=r"has no preprocessor_config\.json, which vision needs"):
        choose_files("vit", VISION, Precision.FP32, ["config.json", "onnx/model.onnx"])
