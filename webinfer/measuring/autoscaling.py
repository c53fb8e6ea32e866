"""The contests between autoscalers on paper, told as rows, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from browser_runtime.errors import BadInput
from scheduler.autoscaling.comparison import Contest, Run, hold_contests
from scheduler.autoscaling.drawing import draw
from scheduler.autoscaling.patterns import RATES, Pattern, draw_pattern, recorded_pattern
from scheduler.autoscaling.simulation import World


def hold(names: Sequence[str], recorded: str | None, service_s: float, start_s: float) -> list[Contest]:
    """The contests asked for; all patterns where none is named. Raises BadInput."""
    for name in names:
        if name not in RATES:
            raise BadInput("--pattern", repr(name), "one of " + ", ".join(RATES))
    patterns = [draw_pattern(name) for name in names or (() if recorded else RATES)]
    patterns += [read_recording(Path(recorded))] if recorded else []
    return list(hold_contests(World(service_s=service_s, start_s=start_s), patterns))


def read_recording(path: Path) -> Pattern:
    """The arrivals in a file of one time in seconds a line. Raises BadInput."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    try:
        times_s = [float(line) for line in lines]
    except ValueError as error:
        raise BadInput("--recorded", f"{path} with {error}", "a time in seconds a line") from error
    if not times_s:
        raise BadInput("--recorded", f"{path} without a time", "a time in seconds a line")
    return recorded_pattern(times_s)


def contest_rows(contests: Sequence[Contest]) -> list[dict[str, Any]]:
    """Plain values: ours, each rival's cheapest setting that is as fast, its fastest and its usual one."""
    return [
        {
            "pattern": contest.pattern.name,
            "told": contest.pattern.told,
            "arrivals": len(contest.pattern.arrivals),
            "webinfer": asdict(contest.ours),
            "as_fast": {name: run and asdict(run) for name, run in contest.rivals.items()},
            "fastest": {name: asdict(run) for name, run in contest.fastest.items()},
            "usual": {name: asdict(run) for name, run in contest.defaults.items()},
        }
        for contest in contests
    ]


def print_contests(console: Console, contests: Sequence[Contest]) -> None:
    """A table: a line an autoscaler and pattern."""
    title = "worker time at the same p95; each rival with the setting that suits the pattern best"
    table = Table(
        "pattern", "autoscaler", "p95 s", "worker min", "changes", "taken back", "note", title=title
    )
    for contest in contests:
        ours = contest.ours
        table.add_row(contest.pattern.name, ours.scaler, *_figures(ours), contest.pattern.told)
        for name, run in contest.rivals.items():
            table.add_row("", name, *_figures(run or contest.fastest[name]), _note(ours, run, contest, name))
        table.add_section()
    console.print(table)


def _figures(run: Run) -> tuple[str, ...]:
    figures = (f"{run.p95_s:.2f}", f"{run.worker_minutes:.0f}")
    return (*figures, str(run.n_changes), str(run.n_reversals))


def _note(ours: Run, run: Run | None, contest: Contest, name: str) -> str:
    if run is None:
        return f"never as fast; fastest: {contest.fastest[name].setting}"
    return f"{run.worker_minutes / ours.worker_minutes:.2f} of ours; {run.setting}"


def draw_contests(contests: Sequence[Contest], path: str) -> None:
    """An SVG of workers over time."""
    Path(path).write_text(draw(contests))
