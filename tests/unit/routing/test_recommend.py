"""`webinfer recommend` and `webinfer history` as a user meets them, without Redis and without workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.session.kernel_choices import KernelChoices
from scheduler.history.history import History


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a history in which Edge is the quicker."""
    rows = [
        {"model": "shapes", "family": "vision", "precision": "fp32", "browser": browser, "backend": "wasm"}
        | {"total_ms": ms, "ok": True}
        for browser, ms in (("chrome", 90.0), ("edge", 20.0))
        for _ in range(15)
    ]
    with History(tmp_path / "history.duckdb") as history:
        history.append([("runs", row) for row in rows])
    return tmp_path


def webinfer(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {
        "WEBINFER_HISTORY_PATH": str(home / "history.duckdb"),
        "WEBINFER_CACHE_DIR": str(home / "cache"),
        "WEBINFER_BROKER_URL": f"redis+socket://{home}/nobody.sock",
    }
    command = [sys.executable, "-m", "webinfer", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_ranking_with_its_evidence(home: Path) -> None:
    told = json.loads(webinfer(home, "recommend", "shapes", "--json").stdout)
    best, *_, last = told["ranking"]
    assert (best["browser"], best["n_runs"], round(best["measured_ms"])) == ("edge", 15, 20)
    assert 0.5 < best["chance"] <= 1 and best["share"] >= 0.95
    assert last["browser"] == "chrome" and last["chance"] < 0.05
    shown = webinfer(home, "recommend", "shapes").stdout
    assert "- edge took 20.0 ms in 15 runs" in shown and "shapes (vision), fp32" in shown


def test_every_way_that_was_measured_is_ranked(home: Path) -> None:
    told = json.loads(webinfer(home, "recommend", "shapes", "--json").stdout)["configurations"]
    ways = [(row["way"]["browser"], row["way"]["backend"], row["n_runs"]) for row in told["ways"]]
    assert ways == [("edge", "wasm", 15), ("chrome", "wasm", 15)]
    (advice,) = told["advice"]
    assert (advice["what"], advice["choice"], advice["over"]) == ("browser", "edge", "chrome")
    assert advice["certainty"] > 0.95
    shown = webinfer(home, "recommend", "shapes").stdout
    assert "- browser: edge rather than chrome, 4.50 times as quick" in shown


def keep(home: Path, browser: str, backend: Backend, decode_ms: float) -> None:
    """What a session of that browser measured."""
    choices = KernelChoices(home / "cache", f"{browser} 1.2", browser)
    gpu = {"supported": True, "proved": True, "adapter": {"name": "card", "software": False}}
    choices.capabilities = Capabilities.from_probe({"webgpu": gpu})  # type: ignore[typeddict-item]
    rows = [
        {"kernels": f"{backend} {name}", "decode_ms": decode_ms * factor, "prefill_ms": 8.0}
        for name, factor in (("slow", 2), ("quick", 1))
    ]
    choices.keep_choice(backend, {"kernels": f"{backend} quick", "measured": rows})


def test_the_kernels_that_were_measured_say_which_backend_is_quickest(home: Path) -> None:
    keep(home, "firefox", Backend.WASM, 0.4)
    keep(home, "firefox", Backend.WEBGPU, 0.1)
    keep(home, "chrome", Backend.WASM, 0.3)
    told = json.loads(webinfer(home, "recommend", "numbers-llama", "--json").stdout)
    assert {each["browser"]: each["backend"] for each in told["ranking"]} == {
        "firefox": "webgpu",
        "chrome": "wasm",
        "edge": "",
    }
    first, *_ = (each for each in told["kernels"] if each["browser"] == "firefox")
    assert (first["kernels"], first["decode_ms"], first["adapter"]) == ("webgpu quick", 0.1, "card")
    shown = webinfer(home, "recommend", "numbers-llama", "--backend", "wasm").stdout
    assert "wasm quick" in shown and "webgpu quick" not in shown
    assert json.loads(webinfer(home, "recommend", "digits-vit", "--json").stdout)["kernels"] == []


def test_what_nobody_knows_is_one_sentence(home: Path) -> None:
    failed = webinfer(home, "recommend", "nosuch")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert failed.stderr.startswith("webinfer: model_name 'nosuch' is not known: it was never run")


def test_the_history_is_shown_and_taken_out(home: Path) -> None:
    told = json.loads(webinfer(home, "history", "status", "--json").stdout)
    assert told["tables"][0] | {"oldest": 0, "newest": 0} == {
        "table": "runs",
        "n_rows": 30,
        "oldest": 0,
        "newest": 0,
    }
    assert told["waiting"] is None and told["n_dropped"] == 0
    assert "runs.parquet" in webinfer(home, "history", "export", str(home / "out")).stdout
    again = webinfer(home, "history", "export", str(home / "out"))
    assert again.returncode == 1 and again.stderr.endswith("which holds files, but must be new or empty.\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("digits-clip",), "digits-clip (vision), fp32"),
        (("digits-clap",), "digits-clap (audio), fp32"),
        (("digits-llava",), "digits-llava (multimodal), fp32"),
        (("digits-clip", "-t", "multimodal"), "digits-clip (multimodal), fp32"),
        (("digits-vit", "-t", "audio"), "'digits-vit', a model of vision, but must be a model of audio"),
        (("digits-vit", "--precision", "4bit"), "precision is '4bit', but must be what model 'digits-vit'"),
    ],
)
def test_a_model_is_ranked_for_what_it_does(home: Path, words: tuple[str, ...], told: str) -> None:
    done = webinfer(home, "recommend", *words)
    assert told in done.stdout + done.stderr
