"""The subjects of `webinfer bench encoders`, and native onnxruntime on them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.store import ModelStore
from tests.unit.low_bits.test_encoders import write_wide
from webinfer.bench import encoders
from webinfer.bench.encoders import Texts, cut_text, make_subjects, measure_native, tabulate_encoders


def test_every_engine_has_its_model_and_native_is_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "CELL_S", 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))  # onnxruntime.quantization adds to it
    subjects = make_subjects(write_wide(tmp_path / "bert"), tmp_path, ModelStore(tmp_path / "store"))
    assert [subject.precision for subject in subjects] == [Precision.BITS_8, Precision.FP32, Precision.INT8]
    text = cut_text(subjects[0].model, 6)
    assert len(text.split()) == 4  # a token a word, and one at each end
    cells, exact = measure_native(subjects, Texts({6: text}), lambda _: None)
    assert [(cell.engine, cell.ratio) for cell in cells[:1]] == [("onnxruntime fp32", 1.0)]
    assert cells[0].cosine == pytest.approx(1.0)
    assert 0.9 < cells[1].cosine < 1.0
    assert exact.shape == (7, 32)
    assert tabulate_encoders(cells).row_count == 2
