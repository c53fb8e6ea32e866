"""Replays of recorded noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput
from scheduler.regression.energy import Floats
from tests.unit.laboratory.made_up import start
from webinfer.bench.laboratory.documents import write_document
from webinfer.bench.noise_recording import Recording
from webinfer.bench.noises import (
    BLOCK,
    CV,
    NOISES,
    RECORDINGS,
    draw,
    read_recording,
    recorded_deviations,
    reduce_samples,
    replayed,
    steady,
)
from webinfer.commands.bench_scheduler import regression

KNOWN = recorded_deviations(RECORDINGS["a busy machine"])


def test_a_replay_resembles_its_recording() -> None:
    known = KNOWN
    assert len(known) > 200
    drawn = np.log(draw(replayed(known), np.random.default_rng(1), 300, 720) / 100)
    rest = known - known.mean()
    r = (rest[1:] * rest[:-1]).sum() / (rest**2).sum()
    flat = drawn - drawn.mean()
    again = (flat[:, 1:] * flat[:, :-1]).sum() / (flat**2).sum()
    # A block's end knows nothing of the next one's beginning.
    assert again == pytest.approx(r * (1 - 1 / BLOCK), abs=0.05)
    assert drawn.std() == pytest.approx(known.std(), rel=0.1)


def test_a_replay_can_be_scaled() -> None:
    drawn = replayed(KNOWN, CV)(np.random.default_rng(2), 200, 200)
    assert drawn.shape == (200, 200) and drawn.std() == pytest.approx(CV, rel=0.15)


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=[*RECORDINGS])
def test_noise_of_a_steady_level_resembles_its_recording(recording: Path) -> None:
    known = recorded_deviations(recording)
    drawn = np.log1p(steady(known)(np.random.default_rng(5), 200, 720))
    assert drawn.std() == pytest.approx(CV, rel=0.15)
    assert correlations(drawn) == pytest.approx(correlations(known[None, :]), abs=0.1)


def correlations(series: Floats) -> list[float]:
    """Of samples at a distance of one to four, of all rows together."""
    rest = series - series.mean()
    return [float((rest[:, lag:] * rest[:, :-lag]).mean() / (rest**2).mean()) for lag in range(1, 5)]


def test_every_noise_has_series_of_the_length_that_is_asked_for() -> None:
    rng = np.random.default_rng(3)
    assert {noise(rng, 3, 50).shape for noise in NOISES.values()} == {(3, 50)}


def record_noise(path: Path, minutes: float) -> Path:
    """A file of so many minutes, a run a second: 10 ms, and every 20 s a tenth of a millisecond more."""
    at_s = [float(second) for second in range(int(60 * minutes))]
    run_ms = [10.0 + 0.1 * (second // 20 % 7) for second in at_s]
    rest = [1.0] * len(at_s)
    found = Recording(
        "browser=edge", "digits-vit", 1.0, start(1.0), at_s, run_ms, rest, rest, [None] * len(at_s)
    )
    path.write_text(write_document(found.to_document()))
    return path


def test_a_recording_is_reduced_to_medians() -> None:
    columns = {
        "at_s": [0.5, 1.0, 19.9, 61.0],
        "run_ms": [1.0, 9.0, 2.0, 5.0],
        "pressure": [None, None, 0.0, 1.0],
    }
    found = reduce_samples(columns)
    assert (found["at_s"], found["run_ms"]) == ([0.0, 60.0], [2.0, 5.0])
    assert np.isnan(found["pressure"][0]) and found["pressure"][1] == 1.0


def test_detection_is_tested_on_a_recording_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record_noise(tmp_path / "noise.json", 25)
    known = read_recording(path, "--recorded")
    assert known[:8] == pytest.approx(np.log([10, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 10]) - np.log(10.3))
    monkeypatch.setattr("webinfer.bench.regression.SIZES", (0.1,))
    monkeypatch.setattr("webinfer.bench.regression.HOURS_A_MONTH", 60)
    words = ["--recorded", str(path), "--months", "100", "--steps", "20", "--json"]
    done = CliRunner().invoke(regression, words, catch_exceptions=False)
    names = {row["noise"] for row in json.loads(done.stdout)["quiet"]}
    assert names == {"that of the recording, 3%", "replays, 3%", "replays, 2%"}


def test_a_file_that_is_no_recording_or_a_short_one_is_refused(tmp_path: Path) -> None:
    short = record_noise(tmp_path / "short.json", 19)
    with pytest.raises(
        BadInput, match=r"--recorded is .* of 57 samples of 20 s, but must be one of 60 at least"
    ):
        read_recording(short, "--recorded")
    document = json.loads(short.read_text())
    for change in (
        {"kind": "load"},
        {"samples": {"at_s": [1.0]}},
        {"samples": {"at_s": ["x"], "run_ms": [1]}},
    ):
        short.write_text(json.dumps(document | change))
        with pytest.raises(BadInput):
            read_recording(short, "--recorded")
