"""Importing: the layouts that are taken, and what is refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from tests.stand_ins.tiny_models import write_bert, write_classifier, write_json, write_text_repository


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_bert_in_safetensors_becomes_onnx(store: ModelStore, tmp_path: Path) -> None:
    model = import_model(write_bert(tmp_path / "source"), "tiny", store=store)
    assert (model.family, model.precisions) == (Family.TEXT_EMBEDDING, (Precision.FP32,))
    assert model.settings == {"pooling": "mean", "normalize": True, "max_tokens": 16}
    assert set(model.extra["exported_from"]) == {"model.safetensors"}
    assert store.verify("tiny").whole
    output = reference(model, Family.TEXT_EMBEDDING, ["the girl eats bread ."])[0]
    assert output["tokens"] == 7
    assert float(np.linalg.norm(output["embedding"])) == pytest.approx(1, abs=1e-6)


def test_importing_the_same_again_changes_nothing_and_another_is_refused(
    store: ModelStore, tmp_path: Path
) -> None:
    source = write_bert(tmp_path / "source")
    first = import_model(source, "tiny", store=store)
    assert import_model(source, "tiny", store=store) == first
    with pytest.raises(BadInput, match=r"name is 'tiny', which another model .* removed first"):
        import_model(write_classifier(tmp_path / "other"), "tiny", store=store)
    assert list((store.root / ".partial").iterdir()) == []


def test_both_layouts_and_a_lone_graph_are_taken(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "transformers_js")
    first = import_model(folder, "first", store=store)
    flat = write_classifier(tmp_path / "optimum")
    (flat / "onnx" / "model.onnx").rename(flat / "model.onnx")
    second = import_model(flat, "second", store=store)
    third = import_model(folder / "onnx" / "model.onnx", "org/third", store=store)
    (flat / "model.onnx").rename(flat / "my_own.onnx")
    fourth = import_model(flat / "my_own.onnx", "fourth", store=store)
    assert first.revision == second.revision == third.revision == fourth.revision
    assert store.ensure("org/third").family is Family.VISION


def test_every_precision_that_is_there_is_taken(store: ModelStore, tmp_path: Path) -> None:
    folder = write_text_repository(tmp_path / "source", precisions=("", "_quantized"))
    model = import_model(folder, "tiny", store=store)
    assert model.precisions == (Precision.FP32, Precision.INT8)
    assert model.license == "mit"
    assert "pytorch_model.bin" not in model.files


def test_pickles_are_never_opened(store: ModelStore, tmp_path: Path) -> None:
    write_json(tmp_path / "source" / "config.json", {})
    (tmp_path / "source" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match=r"pytorch_model\.bin, .*pickles can run code and are never opened"):
        import_model(tmp_path / "source", "tiny", store=store)


@pytest.mark.parametrize("name", ["../x", "a/b/c", ".hidden", ""])
def test_names_that_are_none_are_refused(store: ModelStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="name is "):
        import_model(write_classifier(tmp_path / "source"), name, store=store)


def test_names_that_are_taken_are_refused(store: ModelStore, tmp_path: Path) -> None:
    source = write_classifier(tmp_path / "source")
    import_model(source, "tiny", store=store)
    with pytest.raises(BadInput, match="inside another model"):
        import_model(source, "tiny/part", store=store)
    import_model(source, "org/tiny", store=store)
    with pytest.raises(BadInput, match="a folder of other things"):
        import_model(source, "org", store=store)
    with pytest.raises(BadInput, match="a built-in model"):
        import_model(source, "digits-vit", store=store)


def test_what_is_missing_is_named(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be an ONNX file or a folder"):
        import_model(tmp_path / "nowhere", "tiny", store=store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="must be a folder with ONNX or safetensors files"):
        import_model(tmp_path / "empty", "tiny", store=store)
    folder = write_classifier(tmp_path / "source")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadRequest, match=r"has no preprocessor_config\.json in .*, which vision needs"):
        import_model(folder, "tiny", store=store)
    (folder / "config.json").write_text("{")
    with pytest.raises(BadRequest, match=r"config\.json is not JSON"):
        import_model(folder, "tiny", store=store)


def test_a_truncated_graph_is_refused_and_leaves_nothing(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    graph = folder / "onnx" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-40])
    with pytest.raises(BadRequest, match=r"model\.onnx is no whole ONNX file"):
        import_model(folder, "tiny", store=store)
    assert store.find("tiny") is None
    assert list((store.root / ".partial").iterdir()) == []


def move_weights(graph: Path, location: str) -> None:
    """Rewrites the graph so that its weights lie in another file."""
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load_model(str(graph))
    tensor = model.graph.initializer[0]
    content = tensor.raw_data
    set_external_data(tensor, location, offset=0, length=len(content))
    tensor.ClearField("raw_data")
    graph.write_bytes(model.SerializeToString())
    if not location.startswith(("/", "..")):
        (graph.parent / location).write_bytes(content)


def test_weights_beside_the_graph_are_taken_along(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    move_weights(folder / "onnx" / "model.onnx", "model.onnx_data")
    model = import_model(folder, "tiny", store=store)
    assert "onnx/model.onnx_data" in model.files
    image = np.full((4, 4, 3), 255, np.uint8)
    assert len(reference(model, Family.VISION, [image])[0]["labels"]) == 3
    (folder / "onnx" / "model.onnx_data").unlink()
    with pytest.raises(BadRequest, match=r"needs its weights model\.onnx_data, which are missing"):
        import_model(folder, "other", store=store)


@pytest.mark.parametrize("location", ["../../secret.bin", "/etc/passwd"])
def test_weights_elsewhere_are_refused(store: ModelStore, tmp_path: Path, location: str) -> None:
    folder = write_classifier(tmp_path / "source")
    move_weights(folder / "onnx" / "model.onnx", location)
    with pytest.raises(BadRequest, match=r"reads weights outside"):
        import_model(folder, "tiny", store=store)


def test_the_family_must_be_told_where_the_config_does_not(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    write_json(folder / "config.json", {"model_type": "odd", "num_channels": 3})
    with pytest.raises(BadInput, match="the family of model 'tiny' is not to be told"):
        import_model(folder, "tiny", store=store)
    assert import_model(folder, "tiny", Family.VISION, store).family is Family.VISION


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({}, "mean"),
    ],
)
def test_pooling_is_read_from_the_folder(
    store: ModelStore, tmp_path: Path, pooling: dict[str, object], expected: str
) -> None:
    folder = write_bert(tmp_path / "source")
    write_json(folder / "1_Pooling" / "config.json", pooling)
    assert import_model(folder, "tiny", store=store).settings["pooling"] == expected


def test_a_pooling_that_no_page_does_is_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "source")
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_max_tokens": True})
    with pytest.raises(BadRequest, match="the pooling pooling_mode_max_tokens is not supported"):
        import_model(folder, "tiny", store=store)
