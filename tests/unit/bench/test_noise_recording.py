"""The pressure on the processors, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from webinfer.bench.noise_recording import read_pressure


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("some avg10=50.75 avg60=53.63 avg300=30.66 total=27846699109\nfull avg10=0.00 total=0\n", 50.75),
        ("", None),
        ("some avg60=53.63", None),
    ],
)
def test_pressure_is_a_share_of_ten_seconds(tmp_path: Path, text: str, share: float | None) -> None:
    (tmp_path / "cpu").write_text(text)
    assert read_pressure(tmp_path / "cpu") == share


def test_a_system_without_it_has_none(tmp_path: Path) -> None:
    assert read_pressure(tmp_path / "cpu") is None
