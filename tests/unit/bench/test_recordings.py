"""Recordings of arrivals: files, and what the history holds of a queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput
from scheduler.history.history import History
from webinfer.bench.autoscaling.patterns import recorded_pattern
from webinfer.bench.autoscaling.recordings import read_recording, recording_of, write_recording
from webinfer.bench.autoscaling.simulation import SimulatedQueue


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "monday.txt"
    pattern = recorded_pattern([7.25, 5.5, 6.125], "monday", service_s=0.016, service_cv=0.3, start_s=4.5)
    write_recording(pattern, path)
    assert read_recording(path) == pattern
    assert pattern.arrivals == (0.0, 0.625, 1.75)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("1.5\nsoon\n", "bad.txt, which holds 'soon', but"),
        ("# service_ms: short\n1.5\n", "bad.txt, which holds 'short', but"),
        ("1.5\nnan\n", "bad.txt, which holds 'nan', but"),
        ("# nothing\n\n", "bad.txt, which holds no time, but"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_sentence(tmp_path: Path, text: str, description: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(BadInput, match="--recorded") as caught:
        read_recording(path)
    assert description in str(caught.value) and "one time in seconds per line" in str(caught.value)


def run_of(sent_s: float, **more: Any) -> tuple[str, dict[str, Any]]:
    """A run that waited 2 s in Redis and 0.5 s in the worker, and took 20 ms."""
    times = {"broker_ms": 2000.0, "queue_ms": 500.0, "load_ms": 0.0, "total_ms": 520.0, "batch_size": 1}
    values: dict[str, Any] = {"at": sent_s + 2.52, "queue": "chrome-vision", "model": "m", "ok": True}
    return "runs", values | times | more


def grown(at: float) -> tuple[str, dict[str, Any]]:
    return "scaling", {"at": at, "scope": "queue", "name": "chrome-vision", "n_from": 1, "n_to": 3}


def opened(at: float, browser: str = "chrome") -> tuple[str, dict[str, Any]]:
    return "connections", {"at": at, "browser": browser, "event": "opened"}


def test_a_queues_history_is_a_recording(tmp_path: Path) -> None:
    rows = [run_of(1000.0 + k) for k in range(3)]
    rows += [run_of(1003.0, queue="edge-text"), run_of(10.0)]
    rows += [run_of(1004.0, batch_size=4, total_ms=580.0, at=1004.0 + 2.58)]
    with History(tmp_path / "h.duckdb") as history:
        history.append(rows)
        history.append([grown(1000.0), grown(1100.0), opened(1007.0), opened(1105.0), opened(1001.0, "edge")])
        asked = {"queue": "chrome-vision", "since_s": 500}
        found, starts = (history.query(f"scaling_{what}", **asked) for what in ("arrivals", "starts"))
    pattern = recording_of(found, starts, "chrome-vision")
    assert pattern.arrivals == pytest.approx((0.0, 1.0, 2.0, 4.0), abs=1e-3)
    assert pattern.service_s == pytest.approx(0.020)  # the batch of four took 80 ms
    assert pattern.start_s == 6.0
    assert recording_of(found, [{"start_s": None}], "chrome-vision").start_s is None
    assert (
        SimulatedQueue().of(pattern).service_s == pattern.service_s
        and SimulatedQueue().of(pattern).start_s == 6.0
    )


def test_a_queue_nobody_used_is_refused(tmp_path: Path) -> None:
    with History(tmp_path / "h.duckdb") as history, pytest.raises(BadInput, match="'edge-text'"):
        recording_of(history.query("scaling_arrivals", queue="edge-text", since_s=0), [], "edge-text")
