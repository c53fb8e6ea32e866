"""`webinfer bench quality` on the built-in model, shortly, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from webinfer.commands.bench_quality import quality


@pytest.mark.browser("chrome")
def test_the_built_in_model_is_asked_in_every_precision() -> None:
    command = ["--models", "numbers-llama", "--questions", "3", "--no-peers", "--json"]
    result = CliRunner().invoke(quality, command, catch_exceptions=False)
    found = {each["precision"]: each for each in json.loads(result.stdout)["accuracies"]}
    assert {"2bit", "3bit", "4bit", "8bit"} <= set(found)
    kinds = ["to words", "to digits", "sum", "sum in words", "next"]
    for precision in ("2bit", "3bit", "4bit", "8bit"):
        assert list(found[precision]["by_kind"]) == kinds
        assert found[precision]["mean"] >= 0.6, "as the docs have it: 90 % over many questions"


@pytest.mark.browser("chrome", "firefox")
def test_backends_are_compared_and_taken_up_again(tmp_path: Path) -> None:
    kept = tmp_path / "answers.jsonl"
    command = ["--models", "numbers-llama", "--backends", "--tokens", "40", "--json"]
    command += ["--resume", str(kept)]
    first = CliRunner().invoke(quality, command, catch_exceptions=False)
    (rows,) = json.loads(first.stdout).values()
    assert rows, "Chromium has WebGPU and WebAssembly, Firefox as well"
    assert all(row["n_tokens"] >= 40 and row["share"] >= 0.99 for row in rows)
    lines = kept.read_text().splitlines()
    again = CliRunner().invoke(quality, command, catch_exceptions=False)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert kept.read_text().splitlines() == lines, "nothing was computed twice"
