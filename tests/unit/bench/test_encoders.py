"""The subjects of `webinfer bench encoders`, and native onnxruntime on them."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation.runners import reference
from tests.stand_ins.vits import write_vit
from tests.unit.low_bits.test_encoders import write_wide
from webinfer.bench import encoders
from webinfer.bench.encoder_samples import LENGTHS, Texts
from webinfer.bench.encoders import (
    EncoderCell,
    make_subjects,
    measure_native,
    open_samples,
    tabulate_encoders,
)
from webinfer.bench.encoders_picture import draw_encoders
from webinfer.bench.samples import Summary


def test_every_engine_has_its_model_and_native_is_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "CELL_S", 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))  # onnxruntime.quantization adds to it
    subjects = make_subjects(write_wide(tmp_path / "bert"), tmp_path, ModelStore(tmp_path / "store"))
    wasm = [subject.precision for subject in subjects if subject.backend is Backend.WASM]
    webnn = [subject.precision for subject in subjects if subject.backend is Backend.WEBNN]
    assert wasm == [Precision.BITS_8, Precision.FP32, Precision.INT8]
    assert webnn == [Precision.FP32, Precision.FP16, Precision.INT8]
    texts = Texts(subjects[0].model, (6,))
    assert len(texts.timed[6].split()) == 4  # a token a word, and one at each end
    cells, exact = measure_native(subjects, texts, lambda _: None)
    assert [(cell.engine, cell.ratio) for cell in cells[:1]] == [("onnxruntime fp32", 1.0)]
    assert cells[0].cosine == pytest.approx(1.0)
    assert 0.9 < cells[1].cosine < 1.0
    assert exact.shape == (7, 32)
    assert tabulate_encoders(cells).row_count == 2


def test_images_are_asked_of_a_vit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "CELL_S", 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))
    subjects = make_subjects(write_vit(tmp_path / "vit"), tmp_path, ModelStore(tmp_path / "store"))
    images = open_samples(subjects[0].model)
    assert list(images.timed) == [65]  # eight by eight patches, and the class token
    cells, exact = measure_native(subjects, images, lambda _: None)
    assert exact.shape == (6, 10)
    given = reference(ModelStore().ensure("digits-vit"), Family.VISION, images.all)
    wanted = np.stack([output["logits"] / np.linalg.norm(output["logits"]) for output in given])
    assert (exact * wanted).sum(1).min() > 0.999999
    assert 0.9 < cells[1].cosine < 1.0
    assert "an image of 65 rows" in draw_encoders(cells)
    assert tabulate_encoders(cells).title == "one image"


def test_the_picture_has_every_engine_and_no_name_over_another() -> None:
    places = {"native": 1.0, "Firefox 153.7 ESR": 1.01, "<Chromium> & 156": 1.5}
    engines = {
        "onnxruntime fp32": (5.0, 1.0),
        "onnxruntime int8": (1.6, 0.93),
        "webinfer 8bit": (4.9, 0.9998),
    }
    cells = [
        EncoderCell(place, engine, 1, n, Summary(ms, ms, ms * slower * n / 14, 9), 1.0, cosine)
        for n in LENGTHS
        for place, slower in places.items()
        for engine, (ms, cosine) in engines.items()
    ]
    root = ElementTree.fromstring(draw_encoders(cells))
    assert "on one thread" in draw_encoders(cells)
    webnn = replace(cells[0], engine="onnxruntime fp16, WebNN", threads=None)
    more = draw_encoders([*cells, webnn, replace(cells[0], threads=2)])
    assert "on up to 2 threads" in more
    assert "onnxruntime fp16, WebNN" in more
    texts = [each for each in root.iter() if each.tag.endswith("text")]
    names = [each for each in texts if (each.text or "").endswith(" ms") and "," in (each.text or "")]
    assert len(names) == len(cells)
    assert len([each for each in root.iter() if each.tag.endswith("circle")]) == len(cells)
    for one, other in combinations(names, 2):
        apart = abs(float(one.attrib["y"]) - float(other.attrib["y"]))
        beside = abs(float(one.attrib["x"]) - float(other.attrib["x"]))
        assert apart >= 12 or beside >= 150, (one.text, other.text)
