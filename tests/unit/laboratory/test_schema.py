"""Every command's document says what it is, and the documentation names every key in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stand_ins.experiments import make_documents
from tests.unit.laboratory.made_up import start
from webinfer.bench.laboratory.documents import SCHEMA, VERSION, Document, write_document
from webinfer.bench.noise_recording import Recording
from webinfer.bench.peers.measuring import THREE_MODELS, Figures, PeersFound
from webinfer.bench.peers.peer import PEERS
from webinfer.bench.peers.report import make_peers_document

PAGE = (Path(__file__).parents[3] / "docs/laboratory.md").read_text(encoding="utf-8")
# Keys that are names: of steps, of answers' labels, of percentiles, of models.
NAMES = ("ratios", "difference_ms", "percentiles_ms", "errors", "absent", "answer", "once_ms", "steps_ms")
# Shown where arms are described, or as the options and settings of an arm.
OF_ARMS = ("a", "b", "arm")


def _peers() -> Document:
    figures = [Figures(PEERS[0], THREE_MODELS, 1, 9, [1.0, 1.1], [[1.0], [2.0]], 300.0)]
    return make_peers_document(PeersFound(figures, {"Playwright": "playwright is missing"}))


def _noise() -> Document:
    return Recording(
        "browser=edge", "digits-vit", 1.0, start(1.0), [0.0], [1.0], [0.5], [0.1], [None]
    ).to_document()


DOCUMENTS = [*make_documents("m"), _peers(), _noise()]


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value[:1]:
            yield from _keys(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in (*NAMES, *OF_ARMS):
                yield from _keys(inner)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_a_document_is_one_of_a_version_and_every_key_is_documented(document: Document) -> None:
    plain = json.loads(write_document(document))
    assert (plain["schema"], plain["version"]) == (SCHEMA, VERSION)
    assert plain["machine"]["fingerprint"] and plain["at"].endswith("+00:00") and plain["verdict"]
    documented = set(re.findall(r"`([\w.]+)`", PAGE))
    assert set(_keys(plain)) - documented == set()
    assert f"`{plain['kind']}`" in PAGE
