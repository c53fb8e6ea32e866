"""`webinfer bench generation` with the built-in model, which has no peers: figures, answers and reasons."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from webinfer.commands.bench_generation import command

SHORT = ("--model", "numbers-llama", "--browser", "chrome", "--bits", "4", "--threads", "1", "--rounds", "1")


def test_the_built_in_model_is_measured_and_its_peers_are_absent(tmp_path: Path) -> None:
    picture = tmp_path / "bars.svg"
    words = [*SHORT, "--prompt-tokens", "70", "--new-tokens", "4", "--json", "--picture", str(picture)]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    [browser] = json.loads(done.stdout)["browsers"]
    arms = {arm["engine"]: arm for arm in browser["arms"]}
    assert browser["browser"].startswith("Chromium") and set(arms) == {
        *("webinfer", "wllama", "transformers.js", "llama.cpp")
    }
    ours = arms.pop("webinfer")
    assert ours["answer"].startswith("three hundred forty-seven") and ours["is_right"]
    assert ours["decode"]["p50_ms"] > 0 and ours["prefill_tokens_per_s"] > 0 and ours["busy_decode"] > 0
    assert all(arm["absent"] and arm["decode"] is None for arm in arms.values())
    assert picture.read_text().startswith("<svg")
