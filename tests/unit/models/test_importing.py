"""Importing: the layouts that are taken, and what is refused with one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.families import TEXT_EMBEDDING, VISION
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from tests.stand_ins.odd_graphs import rewrite
from tests.stand_ins.tiny_models import (
    move_weights,
    write_bert,
    write_classifier,
    write_json,
    write_text_repository,
)
from tests.stand_ins.vits import write_vit
from webinfer.cli import main


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_bert_in_safetensors_becomes_onnx(store: ModelStore, tmp_path: Path) -> None:
    model = import_model(write_bert(tmp_path / "source"), "tiny", store=store)
    assert (model.family, model.precisions) == (TEXT_EMBEDDING, (Precision.FP32,))
    assert model.settings == {
        "modules": [
            {"type": "pooling", "modes": ["mean"], "include_prompt": True, "width": 8},
            {"type": "normalize"},
        ],
        "max_tokens": 16,
    }
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
    with pytest.raises(BadInput, match=r"name is 'tiny', which another model .* models remove tiny` first"):
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
    assert store.ensure("org/third").family is VISION


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
    with pytest.raises(BadRequest, match=r"has no preprocessor_config\.json, which vision needs"):
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


def test_weights_beside_the_graph_are_taken_along(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    move_weights(folder / "onnx" / "model.onnx", "model.onnx_data")
    model = import_model(folder, "tiny", store=store)
    assert "onnx/model.onnx_data" in model.files
    image = np.full((4, 4, 3), 255, np.uint8)
    assert len(reference(model, Family.VISION, [image])[0]["labels"]) == 3
    (folder / "onnx" / "model.onnx_data").unlink()
    with pytest.raises(BadRequest, match=r"needs its weights onnx/model\.onnx_data, which are missing"):
        import_model(folder, "other", store=store)


@pytest.mark.parametrize("location", ["../../secret.bin", "/etc/passwd"])
def test_weights_elsewhere_are_refused(store: ModelStore, tmp_path: Path, location: str) -> None:
    folder = write_classifier(tmp_path / "source")
    move_weights(folder / "onnx" / "model.onnx", location, write=False)
    with pytest.raises(BadRequest, match=r"reads weights outside"):
        import_model(folder, "tiny", store=store)


@pytest.mark.parametrize("location", ["a.bin", "parts/мой вес.bin", "./beside.data", "my_own.onnx.data"])
@pytest.mark.parametrize("lone", [True, False])
def test_weights_under_any_name_are_taken_along(
    store: ModelStore, tmp_path: Path, location: str, lone: bool
) -> None:
    image = np.full((4, 4, 3), 255, np.uint8)
    folder = write_classifier(tmp_path / "source")
    expected = reference(import_model(folder, "whole", store=store), Family.VISION, [image])
    graph = folder / "onnx" / ("my_own.onnx" if lone else "model.onnx")
    (folder / "onnx" / "model.onnx").rename(graph)
    move_weights(graph, location)
    model = import_model(graph if lone else folder, "tiny", store=store)
    name = location.removeprefix("./")
    files = model.graphs(Precision.FP32)["model"]
    assert (files.weights, files.name_weights()) == ((f"onnx/{name}",), {name: f"onnx/{name}"})
    assert store.find("tiny") == model
    found = reference(model, Family.VISION, [image])
    assert found[0]["logits"].tolist() == expected[0]["logits"].tolist()


def test_weights_that_would_overwrite_the_graph_are_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    (folder / "onnx" / "model.onnx").rename(folder / "onnx" / "my_own.onnx")
    move_weights(folder / "onnx" / "my_own.onnx", "Model.onnx")
    with pytest.raises(
        BadRequest, match=r"'onnx/Model\.onnx' and 'onnx/model\.onnx' stand in each other's way"
    ):
        import_model(folder / "onnx" / "my_own.onnx", "tiny", store=store)


def link_away(path: Path, target: Path | str) -> None:
    """Puts a link to `target` where a file or folder of the model was."""
    if path.is_dir():
        path.rename(path.with_name("moved"))
    else:
        path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    "path", ["config.json", "preprocessor_config.json", "onnx/model.onnx", "onnx", "onnx/model.onnx_data"]
)
def test_links_out_of_the_folder_are_not_followed(store: ModelStore, tmp_path: Path, path: str) -> None:
    folder = write_classifier(tmp_path / "source")
    move_weights(folder / "onnx" / "model.onnx", "model.onnx_data")
    outside = write_classifier(tmp_path / "outside")
    move_weights(outside / "onnx" / "model.onnx", "model.onnx_data")
    link_away(folder / path, outside / path)
    with pytest.raises(BadRequest, match="is a link that leaves"):
        import_model(folder, "tiny", store=store)
    assert store.find("tiny") is None
    assert list((store.root / ".partial").iterdir()) == []


@pytest.mark.parametrize("path", ["../outside", "/etc", "a/../../outside", "..", "x\0y"])
def test_modules_in_other_folders_are_refused(store: ModelStore, tmp_path: Path, path: str) -> None:
    write_json(tmp_path / "outside" / "config.json", {"secret": 1})
    folder = write_bert(tmp_path / "source")
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [modules[0], modules[1] | {"path": path}])
    with pytest.raises(BadRequest) as caught:
        import_model(folder, "tiny", store=store)
    assert "secret" not in str(caught.value)


def test_a_vit_in_safetensors_is_exported(store: ModelStore, tmp_path: Path) -> None:
    """Its answers are those of the graph that transformers exported."""
    model = import_model(write_vit(tmp_path / "source"), "digits", store=store)
    assert (model.family.name, model.precisions) == ("vision", (Precision.FP32,))
    assert list(model.extra["exported_from"]) == ["model.safetensors"]
    image = np.arange(40 * 40 * 3).astype(np.uint8).reshape(40, 40, 3)
    (found,) = reference(model, Family.VISION, [image])
    (wanted,) = reference(ModelStore().ensure("digits-vit"), Family.VISION, [image])
    assert np.allclose(found["logits"], wanted["logits"], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"hidden_act": "gelu_new"}, BadInput, "hidden_act of config.json is 'gelu_new'"),
        ({"num_hidden_layers": 4}, BadRequest, "no tensor 'encoder.layer.3.layernorm_before.weight'"),
        (
            {"model_type": "swin", "architectures": ["SwinForImageClassification"]},
            BadRequest,
            ", in safetensors, which is not exported to ONNX here",
        ),
    ],
)
def test_a_classifier_in_safetensors_that_is_not_exported_is_refused_by_name(
    store: ModelStore, tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        import_model(write_vit(tmp_path / "source", **changes), "digits", store=store)
    assert words in str(caught.value)
    assert store.find("digits") is None


def keep_in(where: str, model: Any, tensor: Any) -> None:
    """Puts the tensor somewhere else than among the graph's constants."""
    from onnx import helper

    node = helper.make_node("Constant", [], ["kept"], value=tensor)
    if where == "node":
        model.graph.node.append(node)
    elif where == "function":
        model.functions.append(helper.make_function("own", "f", [], ["kept"], [node], []))
    elif where == "subgraph":
        inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("kept", 1, None)])
        branches = {"then_branch": inner, "else_branch": inner}
        model.graph.node.append(helper.make_node("If", ["yes"], ["chosen"], **branches))
    else:
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, tensor, [1]))


@pytest.mark.parametrize("where", ["node", "function", "subgraph", "sparse"])
def test_weights_elsewhere_are_found_wherever_the_graph_names_them(
    store: ModelStore, tmp_path: Path, where: str
) -> None:
    from onnx import TensorProto

    tensor = TensorProto(name="kept", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    folder = write_classifier(tmp_path / "source")
    rewrite(folder / "onnx" / "model.onnx", lambda model: keep_in(where, model, tensor))
    with pytest.raises(BadRequest, match="reads weights outside"):
        import_model(folder, "tiny", store=store)


def test_safetensors_behind_a_link_are_refused(store: ModelStore, tmp_path: Path) -> None:
    folder, outside = write_bert(tmp_path / "source"), write_bert(tmp_path / "outside")
    link_away(folder / "model.safetensors", outside / "model.safetensors")
    with pytest.raises(BadRequest, match="is a link that leaves"):
        import_model(folder, "tiny", store=store)


def test_a_snapshot_of_the_hubs_cache_is_taken_through_its_links(store: ModelStore, tmp_path: Path) -> None:
    repository = tmp_path / "models--tiny--vit"
    snapshot = write_classifier(repository / "snapshots" / "abc")
    (repository / "blobs").mkdir()
    for number, file in enumerate(sorted(path for path in snapshot.rglob("*") if path.is_file())):
        blob = repository / "blobs" / str(number)
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, file.parent))
    assert import_model(snapshot, "tiny", store=store).precisions == (Precision.FP32,)
    link_away(snapshot / "config.json", "/etc/hostname")
    with pytest.raises(BadRequest, match="is a link that leaves"):
        import_model(snapshot, "other", store=store)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_endless(path: Path) -> None:
    link_away(path, "/dev/zero")


def make_huge(path: Path) -> None:
    os.truncate(path, 1 << 40)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", ["config.json", "preprocessor_config.json", "onnx/model.onnx"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (make_pipe, "is no regular file"),
        (make_endless, "is a link that leaves"),
        (make_huge, "holds more than the [0-9]+ bytes"),
    ],
)
def test_files_without_an_end_are_refused_at_once(
    store: ModelStore, tmp_path: Path, path: str, damage: Callable[[Path], None], words: str
) -> None:
    folder = write_classifier(tmp_path / "source")
    damage(folder / path)
    with pytest.raises(BadRequest, match=words):
        import_model(folder, "tiny", store=store)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a":' * 20_000 + "0" + "}" * 20_000, "is nested too deeply"),
        ("[" * 20_000, "is nested too deeply"),
        ('{"eps": NaN}', "NaN is no number in JSON"),
        ("[]", "is list in JSON, but must be an object"),
        ('"\\ud800"', "is str in JSON, but must be an object"),
        ("\xff", "is not JSON"),
    ],
)
@pytest.mark.parametrize("path", ["config.json", "preprocessor_config.json"])
def test_json_that_is_none_is_one_sentence(
    store: ModelStore, tmp_path: Path, path: str, text: str, words: str
) -> None:
    folder = write_classifier(tmp_path / "source")
    (folder / path).write_bytes(text.encode("latin-1") if text == "\xff" else text.encode())
    with pytest.raises(BadRequest, match=f"{path} {words}" if "NaN" not in words else words) as caught:
        import_model(folder, "tiny", store=store)
    assert "\n" not in str(caught.value)


HOLD = """
import sys, time
from pathlib import Path
from browser_runtime.models.files.scratch import hold_scratch
with hold_scratch(Path(sys.argv[1])) as folder:
    (folder / "half.onnx").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_graph_says_of_itself_cannot_steer_a_terminal(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rename(model: Any) -> None:
        model.graph.output[0].name = "\x1b[31mred\r"

    folder = write_classifier(tmp_path / "source")
    rewrite(folder / "onnx" / "model.onnx", rename)
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(store.root))
    monkeypatch.setattr("webinfer.cli.take_signals", lambda: None)  # a command's handlers stay its own
    monkeypatch.setattr(sys, "argv", ["webinfer", "models", "import", str(folder), "--name", "tiny"])
    monkeypatch.setattr("webinfer.cli.take_signals", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "gives \ufffd[31mred\ufffd, but logits is needed" in capsys.readouterr().err


def test_what_a_killed_import_left_goes_with_the_next(store: ModelStore, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        import_model(write_classifier(tmp_path / "source"), "first", store=store)
        assert (left / "half.onnx").exists()  # its owner lives
        process.send_signal(signal.SIGKILL)
    import_model(write_classifier(tmp_path / "source"), "second", store=store)
    assert list((store.root / ".partial").iterdir()) == []


def test_what_a_pull_left_is_kept_for_a_week(store: ModelStore, tmp_path: Path) -> None:
    for name, age_days in (("tiny--young@abc", 6), ("tiny--old@abc", 8)):
        half = store.root / ".partial" / name / "onnx" / "model.onnx"
        half.parent.mkdir(parents=True)
        half.write_bytes(b"half")
        then = time.time() - age_days * 86_400
        for path in (half, half.parent, half.parent.parent):
            os.utime(path, (then, then))
    import_model(write_classifier(tmp_path / "source"), "first", store=store)
    assert [path.name for path in (store.root / ".partial").iterdir()] == ["tiny--young@abc"]


def test_the_family_must_be_told_where_the_config_does_not(store: ModelStore, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "source")
    write_json(folder / "config.json", {"model_type": "odd", "num_channels": 3})
    with pytest.raises(BadInput, match="the family of model 'tiny' is not clear"):
        import_model(folder, "tiny", store=store)
    assert import_model(folder, "tiny", VISION, store).family is VISION
