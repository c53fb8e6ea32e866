"""The results of `webinfer bench generation` as an SVG: tokens a second by engine."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from webinfer.bench.generation.figures import OURS, Figures, Group

WIDTH, LEFT, BAR, GAP, TOP = 760, 210, 18, 6, 64
PANEL = 250
# Told apart by those who see no red or green as well (Okabe & Ito).
OURS_COLOUR, PEERS_COLOUR = "#0072b2", "#999999"


def draw_bars(groups: Sequence[Group]) -> str:
    """Bars of decoding and reading, a block a browser; engines that were absent are left out."""
    lines, y = [], TOP
    for group in groups:
        there = [one for one in group.figures if one.decode and one.prefill]
        lines += _block(group.browser, there, y)
        y += 40 + len(there) * (BAR + GAP) + 20
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif"'
    frame = [head + ' font-size="12">', f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>']
    frame.append('<text x="16" y="28" font-size="16">Tokens a second: more is better</text>')
    return "\n".join([*frame, *lines, "</svg>", ""])


def _block(title: str, there: Sequence[Figures], y: int) -> list[str]:
    lines = [f'<text x="16" y="{y}" font-weight="bold">{escape(title)}</text>']
    panels = (
        ("generating", LEFT, [one.decode_tokens_per_s or 0.0 for one in there]),
        ("reading a prompt", LEFT + PANEL + 30, [one.prefill_tokens_per_s or 0.0 for one in there]),
    )
    for k, one in enumerate(there):
        arm = one.arm
        name = f"{arm.engine} {arm.weights}, {arm.threads} thread{'s' if arm.threads > 1 else ''}"
        lines.append(f'<text x="{LEFT - 8}" y="{_row(y, k) + 13}" text-anchor="end">{escape(name)}</text>')
    for name, x, speeds in panels:
        lines.append(f'<text x="{x}" y="{y + 20}" fill="#555">{name}</text>')
        most = max(speeds, default=1.0)
        for k, (one, speed) in enumerate(zip(there, speeds, strict=True)):
            lines += _bar(one, x, _row(y, k), speed, (PANEL - 60) * speed / most)
    return lines


def _row(y: int, k: int) -> int:
    return y + 30 + k * (BAR + GAP)


def _bar(one: Figures, x: int, y: int, speed: float, width: float) -> list[str]:
    colour = OURS_COLOUR if one.arm.engine == OURS else PEERS_COLOUR
    shown = f"{speed:.0f}" if speed >= 20 else f"{speed:.1f}"
    return [
        f'<rect x="{x}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" fill="{colour}"/>',
        f'<text x="{x + width + 6:.1f}" y="{y + 13}">{shown}</text>',
    ]
