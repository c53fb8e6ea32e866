"""Comparisons of autoscalers as rows, as a table and as a picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from browser_runtime.contract.errors import BadInput
from scheduler.history.asking import look_up
from webinfer.bench.autoscaling.comparison import AutoscalerComparison, AutoscalerRun, compare_autoscalers
from webinfer.bench.autoscaling.drawing import draw
from webinfer.bench.autoscaling.patterns import SYNTHETIC, Pattern, draw_pattern
from webinfer.bench.autoscaling.recordings import (
    load_recording,
    read_recording,
    recording_names,
    recording_of,
)
from webinfer.bench.autoscaling.simulation import SimulatedQueue


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """The comparisons to make; all patterns that come with webinfer if none is named."""

    names: Sequence[str] = ()
    recorded: Path | None = None
    queue: str | None = None
    """The queue whose arrivals in the history are the recording."""
    days: float = 30.0
    service_s: float | None = None
    start_s: float | None = None


def run_comparisons(wanted: ComparisonRequest) -> list[AutoscalerComparison]:
    """The comparisons that were asked for. Raises BadInput, SetupError."""
    return list(
        compare_autoscalers(SimulatedQueue(), (_with_times(pattern, wanted) for pattern in _patterns(wanted)))
    )


def _with_times(pattern: Pattern, wanted: ComparisonRequest) -> Pattern:
    """The pattern, with the times that the caller gave in place of measured ones."""
    return replace(
        pattern,
        service_s=wanted.service_s or pattern.service_s,
        start_s=wanted.start_s or pattern.start_s,
    )


def _patterns(wanted: ComparisonRequest) -> list[Pattern]:
    known = [*SYNTHETIC, *recording_names()]
    for name in wanted.names:
        if name not in known:
            raise BadInput("--pattern", repr(name), "one of " + ", ".join(known))
    own = [read_recording(wanted.recorded)] if wanted.recorded else []
    own += [_history_of(wanted.queue, wanted.days)] if wanted.queue else []
    names = wanted.names or (() if own else known)
    return [draw_pattern(name) if name in SYNTHETIC else load_recording(name) for name in names] + own


def _history_of(queue: str, days: float) -> Pattern:
    since_s = time.time() - timedelta(days=days).total_seconds()
    arrivals = look_up("scaling_arrivals", queue=queue, since_s=since_s)
    return recording_of(arrivals, look_up("scaling_starts", queue=queue, since_s=since_s), queue)


def comparison_rows(comparisons: Sequence[AutoscalerComparison]) -> list[dict[str, object]]:
    """Plain values: webinfer's run; each rival's cheapest as fast one, its fastest and its default."""
    return [
        {
            "pattern": comparison.pattern.name,
            "description": comparison.pattern.description,
            "arrivals": len(comparison.pattern.arrivals),
            "webinfer": asdict(comparison.ours),
            "as_fast": {name: run and asdict(run) for name, run in comparison.rivals.items()},
            "fastest": {name: asdict(run) for name, run in comparison.fastest.items()},
            "usual": {name: asdict(run) for name, run in comparison.defaults.items()},
        }
        for comparison in comparisons
    ]


def print_comparisons(console: Console, comparisons: Sequence[AutoscalerComparison]) -> None:
    """Print a table, one row per autoscaler and pattern."""
    title = "worker time at the same p95; each rival with the setting that suits the pattern best"
    table = Table(
        "pattern", "autoscaler", "p95 s", "worker min", "changes", "taken back", "note", title=title
    )
    for comparison in comparisons:
        ours = comparison.ours
        table.add_row(comparison.pattern.name, ours.scaler, *_figures(ours), comparison.pattern.description)
        for name, run in comparison.rivals.items():
            table.add_row(
                "", name, *_figures(run or comparison.fastest[name]), _note(ours, run, comparison, name)
            )
        table.add_section()
    console.print(table)


def _figures(run: AutoscalerRun) -> tuple[str, ...]:
    figures = (f"{run.p95_s:.2f}", f"{run.worker_minutes:.0f}")
    return (*figures, str(run.n_changes), str(run.n_reversals))


def _note(ours: AutoscalerRun, run: AutoscalerRun | None, comparison: AutoscalerComparison, name: str) -> str:
    if run is None:
        return f"never as fast; fastest: {comparison.fastest[name].setting}"
    return f"{run.worker_minutes / ours.worker_minutes:.2f} of ours; {run.setting}"


def write_picture(comparisons: Sequence[AutoscalerComparison], path: Path) -> None:
    """Write an SVG of workers over time."""
    path.write_text(draw(comparisons))
