"""The frames that the page's tests decode are the ones that Python writes today."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from browser_runtime.link import frames

SCRIPT = Path(__file__).parents[1] / "page" / "fixtures" / "make_frames.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_frames", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_vectors_are_current(script: ModuleType) -> None:
    committed = json.loads(script.VECTORS.read_text())
    assert committed == script.build_vectors()


def test_broken_frames_are_refused_here_too(script: ModuleType) -> None:
    for vector in json.loads(script.VECTORS.read_text())["broken"]:
        with pytest.raises(frames.FrameError):
            frames.decode(base64.b64decode(vector["frame"]))
