"""Recorded arrivals: files with one time in seconds per line, and the history of a queue.

Lines `# key: value` hold what was measured with them (service_ms, service_cv, start_s) and what it is
(description); others are comments.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from webinfer.bench.autoscaling.patterns import Pattern, recorded_pattern

FOLDER = Path(__file__).parent / "recordings"
EXPECTED = "a file with one time in seconds per line"
LONGEST_QUOTE = 40
MEASURED = ("service_ms", "service_cv", "start_s")


def recording_names() -> list[str]:
    """The names of the recordings that come with webinfer."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load_recording(name: str) -> Pattern:
    """A recording that comes with webinfer."""
    return read_recording(FOLDER / f"{name}.txt")


def read_recording(path: Path, field: str = "--recorded") -> Pattern:
    """The arrivals in a file. Raises BadInput naming the field."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    about = dict(_split(line) for line in lines if line.startswith("#"))
    times_s = [_number(line, path, field) for line in lines if not line.startswith("#")]
    measured = {key: _number(about[key], path, field) for key in MEASURED if key in about}
    if not times_s:
        raise BadInput(field, f"{path}, which holds no time", EXPECTED)
    pattern = recorded_pattern(times_s, path.stem, **_in_seconds(measured))
    return replace(pattern, description=about.get("description", pattern.description))


def _number(text: str, path: Path, field: str) -> float:
    with suppress(ValueError):
        number = float(text)
        if math.isfinite(number) and number >= 0:
            return number
    raise BadInput(field, f"{path}, which holds {text[:LONGEST_QUOTE]!r}", EXPECTED)


def write_recording(pattern: Pattern, path: Path) -> None:
    """Write `pattern` in the form that `read_recording` reads."""
    service_ms = None if pattern.service_s is None else round(pattern.service_s * 1000, 2)
    about = {"description": pattern.description, "service_ms": service_ms}
    about |= {"service_cv": pattern.service_cv, "start_s": pattern.start_s}
    lines = [f"# {key}: {value}" for key, value in about.items() if value is not None]
    path.write_text("\n".join([*lines, *(f"{at:.3f}" for at in pattern.arrivals)]) + "\n")


Rows = Sequence[Mapping[str, Any]]


def recording_of(arrivals: Rows, starts: Rows, queue: str) -> Pattern:
    """The pattern in a queue's history, from the rows of `scaling_arrivals` and `scaling_starts`.

    Raises BadInput if the queue answered fewer than two requests.
    """
    taken_ms = [float(row["service_ms"]) for row in arrivals if row["service_ms"] and row["service_ms"] > 0]
    if len(taken_ms) < 2:
        raise BadInput("--history", repr(queue), "a queue that answered requests in the days asked for")
    mean_ms = statistics.fmean(taken_ms)
    cv = statistics.pstdev(taken_ms) / mean_ms
    times_s = [float(row["sent_s"]) for row in arrivals]
    measured = {"service_s": mean_ms / 1000, "service_cv": round(cv, 2)}
    start_s = next((row["start_s"] for row in starts), None)
    if start_s is not None:
        measured["start_s"] = round(start_s, 1)
    return recorded_pattern(times_s, queue, **measured)


def _split(line: str) -> tuple[str, str]:
    key, _, value = line.lstrip("# ").partition(":")
    return key.strip(), value.strip()


def _in_seconds(measured: dict[str, float]) -> dict[str, float]:
    service_ms = measured.pop("service_ms", None)
    return measured | ({} if service_ms is None else {"service_s": service_ms / 1000})
