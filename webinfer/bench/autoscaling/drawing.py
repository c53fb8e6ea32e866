"""A picture of comparisons as SVG: the load, and how many workers each autoscaler held over time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from webinfer.bench.autoscaling.comparison import OURS, AutoscalerComparison
from webinfer.bench.autoscaling.patterns import Pattern

WIDTH, HEIGHT, GAP, LEFT, TOP = 420, 150, 46, 40, 56
BIN_S = 15.0
# Told apart by colour-blind readers too (Okabe and Ito).
COLOURS = {
    OURS: "#d55e00",
    "threshold rule": "#009e73",
    "KEDA's formula": "#0072b2",
    "KEDA's formula with unacked": "#cc79a7",
}
Point = tuple[float, float]


def draw(comparisons: Sequence[AutoscalerComparison]) -> str:
    """An SVG document, two panels a row."""
    n_rows = (len(comparisons) + 1) // 2
    width, height = 2 * (WIDTH + GAP) + LEFT, TOP + n_rows * (HEIGHT + GAP) + 10
    panels = (
        f'<g transform="translate({LEFT + (k % 2) * (WIDTH + GAP)},{TOP + (k // 2) * (HEIGHT + GAP)})">'
        f"{_panel(comparison)}</g>"
        for k, comparison in enumerate(comparisons)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#222">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{_legend()}{"".join(panels)}</svg>\n'
    )


def _legend() -> str:
    entries = [("load: arrivals/s x service s", "#ccc"), *COLOURS.items()]
    return "".join(
        f'<rect x="{LEFT + 180 * k}" y="14" width="12" height="12" fill="{colour}"/>'
        f'<text x="{LEFT + 180 * k + 17}" y="24">{escape(name)}</text>'
        for k, (name, colour) in enumerate(entries)
    )


def _panel(comparison: AutoscalerComparison) -> str:
    duration_s = comparison.pattern.duration_s
    load = [(at, n * comparison.simulated.service_s) for at, n in _rates(comparison.pattern)]
    lines = {name: result.counts for name, result in comparison.results.items()}
    most = max([n for counts in lines.values() for _, n in counts] + [n for _, n in load] + [1.0])
    title = f"{comparison.pattern.name}: {comparison.pattern.description}"
    steps = (_steps(counts, duration_s, most, COLOURS[name]) for name, counts in reversed(lines.items()))
    return (
        f'<text y="-8" font-weight="600">{escape(title)}</text>{_axes(duration_s, most)}'
        f"{_area(load, duration_s, most)}{''.join(steps)}"
    )


def _rates(pattern: Pattern) -> list[Point]:
    """(time, arrivals a second) by bins."""
    counts = [0] * (int(pattern.duration_s // BIN_S) + 1)
    for at in pattern.arrivals:
        counts[int(at // BIN_S)] += 1
    return [(k * BIN_S, n / BIN_S) for k, n in enumerate(counts)]


def _place(at: float, n: float, duration_s: float, most: float) -> str:
    return f"{WIDTH * min(at / duration_s, 1):.1f},{HEIGHT * (1 - n / most):.1f}"


def _area(load: Sequence[Point], duration_s: float, most: float) -> str:
    points = " ".join(_place(at, n, duration_s, most) for at, n in load)
    return f'<polygon points="0,{HEIGHT} {points} {WIDTH},{HEIGHT}" fill="#ddd"/>'


def _steps(counts: Sequence[tuple[float, int]], duration_s: float, most: float, colour: str) -> str:
    points, last = [], counts[0][1] if counts else 0
    for at, n in counts:
        if at <= duration_s:
            points += [_place(at, last, duration_s, most), _place(at, n, duration_s, most)]
            last = n
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def _axes(duration_s: float, most: float) -> str:
    ticks = "".join(
        f'<text x="-6" y="{HEIGHT * (1 - share) + 4:.0f}" text-anchor="end">{most * share:.0f}</text>'
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT * (1 - share):.0f}" y2="{HEIGHT * (1 - share):.0f}" '
        'stroke="#eee"/>'
        for share in (0, 0.5, 1)
    )
    minutes = "".join(
        f'<text x="{WIDTH * share:.0f}" y="{HEIGHT + 14}" text-anchor="middle">'
        f"{duration_s * share / 60:.0f} min</text>"
        for share in (0, 0.5, 1)
    )
    return ticks + minutes
