"""`webinfer bench generation` with the built-in model, which has no peers: figures, answers and reasons."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHORT = ("--model", "numbers-llama", "--browser", "chrome", "--bits", "4", "--threads", "1", "--rounds", "1")


@pytest.mark.browser("chrome")
def test_the_built_in_model_is_measured_and_its_peers_are_absent(tmp_path: Path) -> None:
    picture = tmp_path / "bars.svg"
    words = [*SHORT, "--prompt-tokens", "70", "--new-tokens", "4", "--json", "--picture", str(picture)]
    command = [sys.executable, "-m", "webinfer", "bench", "generation", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [browser] = json.loads(done.stdout)["browsers"]
    arms = {arm["engine"]: arm for arm in browser["arms"]}
    assert browser["browser"].startswith("Chromium") and set(arms) == {
        *("webinfer", "wllama", "transformers.js", "llama.cpp")
    }
    ours = arms.pop("webinfer")
    assert ours["is_right"], ours["answer"]
    assert ours["decode"]["p50_ms"] > 0 and ours["prefill_tokens_per_s"] > 0 and ours["busy_decode"] > 0
    assert all(arm["absent"] and arm["decode"] is None for arm in arms.values())
    assert picture.read_text().startswith("<svg")
