"""Figures of `webinfer bench generation`: medians, ratios between arms of one run, and what is absent."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from browser_runtime.models.store import BUILTIN_FOLDER
from webinfer.bench.generation import subjects
from webinfer.bench.generation.figures import (
    NATIVE,
    OURS,
    TRANSFORMERS,
    WLLAMA,
    Arm,
    Figures,
    Group,
    Run,
    summarise,
)
from webinfer.bench.generation.picture import draw_bars
from webinfer.commands.bench_generation import MODELS, command


def runs(*decode_ms: float) -> list[Run]:
    return [Run(10 * ms, ms, 100) for ms in decode_ms]


def figures(engine: str, *decode_ms: float, threads: int = 1) -> Figures:
    return summarise(Arm(engine, "4 bits", threads), runs(*decode_ms), [], "Paris", True)


def test_a_summary_holds_medians_and_what_a_busy_neighbour_cost() -> None:
    found = summarise(Arm(OURS, "4 bits", 1), runs(9, 10, 30), runs(12, 12, 12), "Paris", True)
    assert found.decode and (found.decode.p50_ms, found.decode.least_ms, found.decode.most_ms) == (10, 9, 30)
    assert found.decode_tokens_per_s == 100 and found.prefill_tokens_per_s == 1000
    assert (found.busy_decode, found.busy_prefill) == (1.2, 1.2)


def test_ratios_are_those_to_the_peer_with_as_many_threads() -> None:
    ours, two = figures(OURS, 10), figures(OURS, 5, threads=2)
    peers = [
        figures(WLLAMA, 80),
        figures(WLLAMA, 20, threads=2),
        Figures(Arm(NATIVE, "Q4_1", 1), absent="gone"),
    ]
    group = Group("Chromium", [ours, two, *peers])
    assert group.compare(ours, WLLAMA) == {"decode": 8, "prefill": 8}
    assert group.compare(two, WLLAMA) == {"decode": 4, "prefill": 4}
    assert group.compare(ours, NATIVE) is None and group.compare(peers[2], WLLAMA) is None
    plain = group.to_plain()["arms"]
    assert plain[0]["times_as_quick_as"] == {
        WLLAMA: {"decode": 8, "prefill": 8},
        TRANSFORMERS: None,
        NATIVE: None,
    }
    assert plain[4]["absent"] == "gone"


def test_the_picture_shows_what_ran() -> None:
    group = Group("Chromium <156>", [figures(OURS, 10), Figures(Arm(WLLAMA, "Q4_1", 1), absent="gone")])
    text = draw_bars([group])
    ElementTree.fromstring(text)
    assert "webinfer 4 bits, 1 thread" in text and "wllama" not in text


def test_packed_weights_of_another_quantiser_are_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "low_bits"
    shutil.copytree(subjects.LOW_BITS, folder)
    monkeypatch.setattr(subjects, "LOW_BITS", folder)
    before = subjects.stamp_quantiser()
    assert subjects.stamp_quantiser() == before
    with (folder / "quantising" / "descent.py").open("a") as stream:
        stream.write("\n")
    assert subjects.stamp_quantiser() != before


def test_bits_that_a_model_does_not_come_in_are_refused_by_name() -> None:
    there = [int(path.name.removesuffix("bit")) for path in (BUILTIN_FOLDER / "numbers-llama").glob("*bit")]
    assert sorted(there) == list(MODELS["numbers-llama"])
    done = CliRunner().invoke(command, ["--model", "numbers-llama", "--bits", "4", "--bits", "8"])
    assert done.exit_code == 2
    assert "numbers-llama does not come in 8 bits, but in 2, 3, 4" in done.output
