"""Latency against the offered rate as an SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Run = Mapping[str, Any]
"""One offered rate, as the document of a load holds it."""

WIDTH, HEIGHT = 720, 430
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 56, 90
# Told apart by those who see no red or green as well (Okabe & Ito).
CURVES = (("p50", "#0072b2"), ("p95", "#d55e00"), ("p99", "#999999"))


def draw_load(runs: Sequence[Run], title: str, limit_ms: float | None = None) -> str:
    """An SVG of the percentiles of each rate, latency on a logarithmic axis; overloaded rates are hollow."""
    ordered = sorted(runs, key=lambda run: run["offered_per_s"])
    values = [ms for run in ordered for name, _ in CURVES if (ms := run["percentiles_ms"].get(name))]
    values += [limit_ms] if limit_ms else []
    axes = _Axes(max((run["offered_per_s"] for run in ordered), default=1.0), values or [1.0])
    lines = [*axes.frame(title)]
    if limit_ms:
        y = axes.y(limit_ms)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#000" stroke-dasharray="5 4"/>')
        lines.append(f'<text x="{LEFT + 6}" y="{y - 6:.1f}">{limit_ms:g} ms</text>')
    for k, (name, colour) in enumerate(CURVES):
        lines += axes.curve(ordered, name, colour)
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
        lines.append(f'<text x="{LEFT}" y="28" font-size="16">{escape(title, quote=False)}</text>')
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

    def curve(self, ordered: Sequence[Run], name: str, colour: str) -> list[str]:
        there = [(run, ms) for run in ordered if (ms := run["percentiles_ms"].get(name)) is not None]
        points = [(self.x(run["offered_per_s"]), self.y(ms), run) for run, ms in there]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        dots = [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" stroke="{colour}" '
            f'fill="{"#fff" if run["is_overloaded"] or run.get("is_cut") or run["errors"] else colour}"/>'
            for x, y, run in points
        ]
        return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(step, 1e-6)))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= step)
