"""`webinfer models quantize`: files that open, one line of what it cost, and refusals by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import FAMILIES
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.models.store import ModelStore
from webinfer.commands.models import command

GGUF = Path(__file__).parents[2] / "data" / "gguf" / "llama.gguf"


def run(*words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def test_a_folder_is_written(tmp_path: Path) -> None:
    done = run("quantize", str(GGUF), "--bits", "3", "--output", str(tmp_path / "out"))
    assert done.exception is None, done.exception
    model = PackedModel.open(tmp_path / "out" / "3bit")
    kl = model.about["measured"]["kl"]
    assert f"KL {kl:.4f}" in done.stdout
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert list(model.about["source"]["files"]) == ["llama.gguf"]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ((), "--bits --budget-mb --plan is not given, but must be exactly one of the three"),
        (("--bits", "3", "--budget-mb", "9"), "is --bits and --budget-mb"),
        (("--bits", "3", "--calibration", "/nowhere.txt"), "--calibration is '/nowhere.txt'"),
        (("--plan", "/nowhere.toml"), "--plan is '/nowhere.toml', but must be a TOML file"),
        (("--budget-mb", "0.001"), "--budget-mb is 0.001, but must be at least"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(words: tuple[str, ...], refusal: str, tmp_path: Path) -> None:
    done = run("quantize", str(GGUF), "--output", str(tmp_path / "out"), *words)
    assert isinstance(done.exception, BadInput)
    assert refusal in str(done.exception)


def test_a_model_that_is_nowhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(tmp_path))
    done = run("quantize", "nothing", "--bits", "3")
    assert isinstance(done.exception, BadInput)
    assert "MODEL is 'nothing', but must be a GGUF file, a folder with safetensors" in str(done.exception)


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run("quantize", str(GGUF), "--bits", "3", "--output", str(tmp_path))
    assert isinstance(done.exception, BadInput)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


@pytest.mark.skipif("text_generation" not in FAMILIES, reason="nothing answers text_generation yet")
def test_imported_once_and_quantised_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(tmp_path))
    for words in (("import", str(GGUF), "--name", "tiny"), ("quantize", "tiny", "--bits", "3")):
        done = run(*words)
        assert done.exception is None, done.exception
    store = ModelStore(tmp_path)
    assert {entry.name: entry.precisions for entry in store.listing() if entry.where == "local"} == {
        "tiny": ("fp16",),
        "tiny-3bit": ("3bit",),
    }
    assert store.verify("tiny-3bit").whole
    shown = json.loads(run("list", "--json").stdout)
    assert {"tiny", "tiny-3bit"} <= {entry["name"] for entry in shown}
    assert [check.problem for check in store.verify("tiny").files] == [""] * len(store.verify("tiny").files)
    again = run("quantize", "tiny-3bit", "--bits", "2")
    assert isinstance(again.exception, BadInput)
    assert "stored in fp16" in str(again.exception)
