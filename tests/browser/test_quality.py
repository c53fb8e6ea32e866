"""`webinfer bench quality` on the built-in model, shortly, in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run(*words: str) -> Any:
    """The command's JSON; the runtime's log goes to stderr, as it does for a user."""
    command = [sys.executable, "-m", "webinfer", "bench", "quality", "--models", "numbers-llama", "--json"]
    done = subprocess.run([*command, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.browser("chrome")
def test_the_built_in_model_is_asked_in_every_precision() -> None:
    found = {each["precision"]: each for each in run("--questions", "3", "--no-peers")["accuracies"]}
    assert set(found) == {"2bit", "3bit", "4bit"}
    kinds = ["to words", "to digits", "sum", "sum in words", "next"]
    for precision in found:
        assert list(found[precision]["by_kind"]) == kinds
        assert found[precision]["mean"] >= 0.9, "as the docs have it: 100 % over many questions"


@pytest.mark.browser("chrome", "firefox")
def test_backends_are_compared_and_taken_up_again(tmp_path: Path) -> None:
    kept = tmp_path / "answers.jsonl"
    words = ("--backends", "--tokens", "20", "--resume", str(kept))
    first = run(*words)
    (rows,) = first.values()
    assert rows, "Chromium has WebGPU and WebAssembly, Firefox as well"
    assert all(row["n_tokens"] >= 20 and row["share"] >= 0.99 for row in rows)
    lines = kept.read_text().splitlines()
    assert run(*words) == first
    assert kept.read_text().splitlines() == lines, "nothing was computed twice"
