"""Latency against the offered rate as an SVG, and a run's percentiles as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from webinfer.bench.laboratory.load import SHARES, LoadResult

WIDTH, HEIGHT = 720, 430
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 56, 90
# Told apart by those who see no red or green as well (Okabe & Ito).
CURVES = ((0.5, "#0072b2", "p50"), (0.95, "#d55e00", "p95"), (0.99, "#999999", "p99"))


def tabulate(results: Sequence[LoadResult]) -> Table:
    """A row a rate."""
    names = [f"p{share * 100:g}" for share in SHARES]
    table = Table(
        "offered/s", "answered/s", *names, "most", "sender late", "errors", title="ms from the intended time"
    )
    for column in table.columns[:-1]:
        column.justify = "right"
    for one in results:
        times = ["-" if (ms := one.at(share)) is None else f"{ms:.1f}" for share in SHARES]
        most = f"{one.latencies_ms[-1]:.1f}" if one.latencies_ms else "-"
        errors = ", ".join(f"{n} {kind}" for kind, n in one.errors.most_common())
        if one.is_overloaded:
            errors = f"overloaded; {errors}".rstrip("; ")
        rates = (f"{one.offered_per_s:.1f}", f"{one.answered_per_s:.1f}")
        table.add_row(*rates, *times, most, f"{one.worst_lag_ms:.1f}", errors)
    return table


def draw(results: Sequence[LoadResult], title: str, limit_ms: float | None = None) -> str:
    """An SVG of the percentiles of each rate, latency on a logarithmic axis; overloaded rates are hollow."""
    ordered = sorted(results, key=lambda one: one.offered_per_s)
    values = [ms for one in ordered for share, _, _ in CURVES if (ms := one.at(share))]
    values += [limit_ms] if limit_ms else []
    axes = _Axes(max((one.offered_per_s for one in ordered), default=1.0), values or [1.0])
    lines = [*axes.frame(title)]
    if limit_ms:
        y = axes.y(limit_ms)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#000" stroke-dasharray="5 4"/>')
        lines.append(f'<text x="{LEFT + 6}" y="{y - 6:.1f}">{limit_ms:g} ms</text>')
    for k, (share, colour, name) in enumerate(CURVES):
        lines += axes.curve(ordered, share, colour)
        x, y = LEFT + 130 * k, HEIGHT - 18
        lines.append(f'<path d="M{x} {y - 4}h22" stroke="{colour}" stroke-width="3"/>')
        lines.append(f'<text x="{x + 30}" y="{y}">{name}</text>')
    x = LEFT + 130 * len(CURVES)
    lines.append(f'<circle cx="{x + 8}" cy="{HEIGHT - 22}" r="4" fill="#fff" stroke="#444"/>')
    lines.append(f'<text x="{x + 20}" y="{HEIGHT - 18}">overloaded, or errors</text>')
    return "\n".join([*lines, "</svg>", ""])


class _Axes:
    """Rates to x, milliseconds to y."""

    def __init__(self, most_per_s: float, values_ms: Sequence[float]) -> None:
        self._most = most_per_s * 1.05
        self._low = math.floor(math.log10(max(min(values_ms), 0.1)))
        self._high = max(math.ceil(math.log10(max(values_ms))), self._low + 1)

    def x(self, per_s: float) -> float:
        return LEFT + per_s / self._most * (WIDTH - LEFT - RIGHT)

    def y(self, ms: float) -> float:
        share = (math.log10(max(ms, 0.1)) - self._low) / (self._high - self._low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def frame(self, title: str) -> list[str]:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        )
        lines = [head + ' font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
        lines.append(f'<text x="{LEFT}" y="28" font-size="16">{_escape(title)}</text>')
        for power in range(self._low, self._high + 1):
            y = self.y(10.0**power)
            lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
        step = _round_step(self._most / 6)
        for k in range(int(self._most / step) + 1):
            place = f'x="{self.x(k * step):.1f}" y="{HEIGHT - BOTTOM + 20}"'
            lines.append(f'<text {place} text-anchor="middle">{k * step:g}</text>')
        middle = f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 42}"'
        lines.append(f'<text {middle} text-anchor="middle">offered requests a second</text>')
        return lines

    def curve(self, ordered: Sequence[LoadResult], share: float, colour: str) -> list[str]:
        there = [(one, ms) for one in ordered if (ms := one.at(share)) is not None]
        points = [(self.x(one.offered_per_s), self.y(ms), one) for one, ms in there]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        dots = [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" stroke="{colour}" '
            f'fill="{"#fff" if one.is_overloaded or one.errors else colour}"/>'
            for x, y, one in points
        ]
        return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(step, 1e-6)))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= step)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
