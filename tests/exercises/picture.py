"""A stress test as a picture (sessions, queue and latency over time) and as a table that is printed live."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from tests.exercises.stress import Look, Stress

N_LINES = 12
BLUE, ORANGE, GREEN, RED, GREY = "#1f5fa8", "#c8641b", "#2f7d4f", "#b3261e", "#8a8f98"


def live_table(stress: Stress) -> Group:
    """The latest looks, newest last, and the latest thing that scaling did."""
    names = ("s", "callers", "sessions", "busy", "waiting", "answers", "a second", "p50 ms", "p95 ms")
    table = Table(*names, "browsers", title="stress test")
    for look in stress.looks[-N_LINES:]:
        table.add_row(*_cells(look))
    event = stress.events[-1] if stress.events else None
    return Group(table, "" if event is None else describe_event(event))


def _cells(look: Look) -> tuple[str, ...]:
    sessions = f"{look.n_sessions}" + (f" +{look.n_starting}" if look.n_starting else "")
    counts = (look.n_active, look.n_waiting, look.n_answered)
    times = ("-" if ms is None else f"{ms:.0f}" for ms in (look.p50_ms, look.p95_ms))
    browsers = ", ".join(f"{n} {browser}" for browser, n in sorted(look.browsers.items()))
    return (
        f"{look.at_s:.1f}",
        str(look.n_callers),
        sessions,
        *map(str, counts),
        f"{look.per_s:.1f}",
        *times,
        browsers,
    )


def describe_event(event: dict[str, Any]) -> str:
    """One decision of adaptive scaling in a line."""
    change = f"{event['sessions']} -> {event['target']}"
    return f"{event['at']:6.1f} s  {change} {event['browser']}: {'; '.join(event['reasons'])}"


def draw(stress: Stress, path: Path) -> None:
    """Write the picture to `path`; its ending says which format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    sessions, queue, latency = figure.subplots(3, 1, sharex=True)
    _draw_sessions(sessions, stress)
    _draw_queue(queue, stress)
    _draw_latency(latency, stress)
    for axes in (sessions, queue, latency):
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=3, markerscale=4)
    figure.savefig(path, dpi=110)


def _draw_sessions(axes: Any, stress: Stress) -> None:
    at_s = [look.at_s for look in stress.looks]
    axes.step(at_s, stress.n_sessions, where="post", color=BLUE, lw=2, label="sessions")
    busy = [look.n_active for look in stress.looks]
    axes.fill_between(at_s, busy, step="post", color=BLUE, alpha=0.2, lw=0, label="of them busy")
    top = max(stress.n_sessions) + 1.5
    for event in stress.events:
        color = GREEN if event["change"] > 0 else RED
        axes.axvline(event["at"], color=color, lw=1, ls="--")
        axes.text(
            event["at"], top, f" {event['sessions']}→{event['target']}", color=color, va="top", fontsize=9
        )
    axes.set(ylabel="sessions", ylim=(0, top))
    axes.set_title("dashed: what adaptive scaling decided", loc="left", fontsize=10)


def _draw_queue(axes: Any, stress: Stress) -> None:
    at_s = [look.at_s for look in stress.looks]
    axes.step(
        at_s, [look.n_callers for look in stress.looks], where="post", color=GREY, lw=1.5, label="callers"
    )
    axes.plot(at_s, [look.n_waiting for look in stress.looks], color=ORANGE, lw=1.5, label="requests waiting")
    rate = axes.twinx()
    rate.plot(at_s, [look.per_s for look in stress.looks], color=GREEN, lw=1.2, label="answers a second")
    rate.set_ylabel("answers a second", color=GREEN)
    rate.set_ylim(bottom=0)
    rate.spines[["top"]].set_visible(False)
    axes.set(ylabel="requests")
    axes.set_ylim(bottom=0)


def _draw_latency(axes: Any, stress: Stress) -> None:
    at_s, ms = zip(*stress.replies, strict=True) if stress.replies else ((), ())
    axes.scatter(at_s, ms, s=3, color=GREY, alpha=0.4, lw=0, label="each answer")
    known = [look for look in stress.looks if look.p50_ms is not None]
    axes.plot([look.at_s for look in known], [look.p50_ms for look in known], color=BLUE, lw=1.5, label="p50")
    axes.plot([look.at_s for look in known], [look.p95_ms for look in known], color=RED, lw=1.5, label="p95")
    axes.set(ylabel="caller waited, ms", xlabel="seconds since the start", yscale="log")
