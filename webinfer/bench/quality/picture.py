"""A picture of quality against bytes, as SVG: weights beside peers' formats, and caches. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from webinfer.bench.quality.results import Row

PANEL_WIDTH, PANEL_HEIGHT, GAP = 400, 300, 76
LEFT, TOP, BOTTOM = 66, 62, 54
# Told apart by those who see no red or green as well (Okabe and Ito).
COLOURS = {"weights": "#d55e00", "peer": "#0072b2", "cache": "#009e73"}
NAMES = {
    "weights": "webinfer, in the page",
    "cache": "cache",
    "peer": "llama.cpp's formats, computed in NumPy",
}
SMALLEST_KL = 1e-5
"""What lies below is drawn there: it is rounding."""


def draw(rows: Sequence[Row], model: str) -> str:
    """An SVG document of one model: its weights on the left, its caches on the right."""
    chosen = [row for row in rows if row.model == model]
    weights = [row for row in chosen if row.kind != "cache"]
    caches = [row for row in chosen if row.kind == "cache"]
    panels = [("weights and peers' formats", "MB of the whole model", weights)]
    if caches:
        panels.append(("keys and values", "MB of the cache at 1,024 tokens", caches))
    width = LEFT + len(panels) * (PANEL_WIDTH + GAP)
    drawn = (
        f'<g transform="translate({LEFT + k * (PANEL_WIDTH + GAP)},{TOP})">{_panel(*panel)}</g>'
        for k, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + PANEL_HEIGHT + BOTTOM}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#222">'
        f'<rect width="100%" height="100%" fill="#fff"/>{_legend(weights)}{"".join(drawn)}</svg>\n'
    )


def _legend(rows: Sequence[Row]) -> str:
    # The peers' words are the longest, and come last.
    kinds = [kind for kind in NAMES if any(row.kind == kind for row in rows)]
    return "".join(
        f'<circle cx="{LEFT + 180 * k + 6}" cy="20" r="5" fill="{COLOURS[kind]}"/>'
        f'<text x="{LEFT + 180 * k + 17}" y="24">{escape(NAMES[kind])}</text>'
        for k, kind in enumerate(kinds)
    )


def _panel(title: str, unit: str, rows: Sequence[Row]) -> str:
    most = max(row.size_mb for row in rows) * 1.12
    least_kl = min(max(row.kl, SMALLEST_KL) for row in rows)
    bottom, top = math.floor(math.log10(least_kl)), math.ceil(math.log10(max(row.kl for row in rows)))
    top = max(top, bottom + 1)

    def place(row: Row) -> tuple[float, float]:
        height = (math.log10(max(row.kl, SMALLEST_KL)) - bottom) / (top - bottom)
        return row.size_mb / most * PANEL_WIDTH, PANEL_HEIGHT * (1 - height)

    parts = [f'<text y="-14" font-weight="600">KL divergence against bytes: {escape(title)}</text>']
    for power in range(bottom, top + 1):
        y = PANEL_HEIGHT * (1 - (power - bottom) / (top - bottom))
        parts.append(f'<path d="M0 {y:.1f}H{PANEL_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="-8" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    parts += _ticks(most)
    parts.append(
        f'<text x="{PANEL_WIDTH / 2}" y="{PANEL_HEIGHT + 40}" text-anchor="middle">{escape(unit)}</text>'
    )
    for kind in dict.fromkeys(row.kind for row in rows):
        series = sorted((row for row in rows if row.kind == kind), key=lambda row: row.size_mb)
        parts += _series(kind, [(*place(row), row.setting) for row in series])
    return "".join(parts)


def _ticks(most: float) -> list[str]:
    """Marks below the panel at round numbers."""
    step = 10 ** math.floor(math.log10(most / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if most / (factor * step) <= 7)
    marks = (step * k for k in range(int(most / step) + 1))
    return [
        f'<path d="M{x / most * PANEL_WIDTH:.1f} {PANEL_HEIGHT}v5" stroke="#222"/>'
        f'<text x="{x / most * PANEL_WIDTH:.1f}" y="{PANEL_HEIGHT + 20}" text-anchor="middle">{x:g}</text>'
        for x in marks
    ]


def _series(kind: str, points: Sequence[tuple[float, float, str]]) -> list[str]:
    """Dots with their settings: ours to the right above, peers' to the left below."""
    colour = COLOURS[kind]
    offset = 'text-anchor="end" dx="-8" dy="14"' if kind == "peer" else 'dx="8" dy="-5"'
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    parts = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-opacity="0.35"/>']
    for x, y, setting in points:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {offset} fill="{colour}">{escape(setting)}</text>')
    return parts
