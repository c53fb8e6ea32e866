"""Proving a model in browsers before it enters the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.errors import BadRequest
from browser_runtime.contract.families import AUDIO, TEXT_EMBEDDING, VISION
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.launching import binaries
from browser_runtime.models.intake import graph_check
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.intake.trial import TrialRun
from browser_runtime.models.store import ModelStore, StoredModel
from tests.stand_ins.odd_graphs import rewrite, set_versions
from tests.stand_ins.tiny_models import write_classifier
from webinfer.proving import Proof, compare, prove_model

Runs = tuple[TrialRun, ...]


@pytest.mark.browser("edge")
def test_every_backend_of_a_browser_is_proved_or_said_to_be_missing(tmp_path: Path) -> None:
    store, proofs, told = ModelStore(tmp_path / "models"), list[Proof](), list[str]()

    def prove(model: StoredModel, runs: Runs) -> None:
        assert store.find(model.name) is None  # not before it is proved
        proofs.extend(prove_model(model, runs, told.append, [Browser.EDGE]))

    model = import_model(write_classifier(tmp_path / "source"), "org/tiny--x", store=store, prove=prove)
    assert store.find("org/tiny--x") == model
    assert [proof.backend for proof in proofs] == [Backend.WEBGPU, Backend.WEBNN, Backend.WASM]
    assert all(proof.is_right for proof in proofs), proofs
    assert all(proof.precision == "fp32" and proof.load_ms > 0 for proof in proofs)
    assert told == ["starting edge", *(f"org/tiny--x in edge on {proof.backend} in fp32" for proof in proofs)]


@pytest.mark.browser("edge")
def test_what_runs_in_python_alone_does_not_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_check, "MAX_IR_VERSION", 99)
    folder = write_classifier(tmp_path / "source")
    rewrite(folder / "onnx/model.onnx", set_versions(ir=14))
    store = ModelStore(tmp_path / "models")

    def prove(model: StoredModel, runs: Runs) -> None:
        prove_model(model, runs, lambda _: None, [Browser.EDGE])

    words = r"model 'tiny' gives the right answer in no browser here: .*edge wasm: .*IR version"
    with pytest.raises(BadRequest, match=words):
        import_model(folder, "tiny", store=store, prove=prove)
    assert store.find("tiny") is None
    assert list((store.root / ".partial").iterdir()) == []


def test_a_wrong_answer_is_told_from_a_right_one() -> None:
    right = {"embedding": [0.6, 0.8], "logits": [1.0, -2.0, 3.0], "text": "one"}
    near = {"embedding": np.array([0.6001, 0.7999]), "logits": np.array([1.0, -2.001, 3.0]), "text": "one"}
    wrong = {"embedding": np.array([0.8, 0.6]), "logits": np.array([3.0, -2.0, 1.0]), "text": "two"}
    for family, words in (
        (TEXT_EMBEDDING, "a cosine of 0.9600 to the embedding in Python"),
        (VISION, "a cosine of 0.7143 to the logits in Python"),
        (AUDIO, "the text 'two' instead of 'one'"),
    ):
        assert compare(family, right, near) == ""
        assert compare(family, right, wrong) == words
    assert compare(VISION, {"logits": [2.0]}, {"logits": np.array([2.01])}) == ""
    assert compare(VISION, {"logits": [2.0]}, {"logits": np.array([2.1])}) == "2.1 instead of 2"
    assert compare(VISION, {"logits": [2.0]}, {"logits": np.array([2.0, 1])}) == "2 numbers instead of 1"


def test_a_browser_that_is_not_here_says_nothing_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(binaries.NAMES, Browser.FIREFOX, ("no-such-browser",))
    model = import_model(write_classifier(tmp_path / "source"), "tiny", store=ModelStore(tmp_path / "models"))
    run = TrialRun(Precision.FP32, {"logits": [1.0]}, 1.0)
    (proof,) = prove_model(model, [run], lambda _: None, [Browser.FIREFOX])
    assert not proof.was_tried and not proof.is_right
    assert "the browser firefox is missing on this machine" in proof.problem
