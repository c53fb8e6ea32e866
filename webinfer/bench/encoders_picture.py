"""What `webinfer bench encoders` found, as an SVG: speed against cosine, a panel a length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from webinfer.bench.encoders import EncoderCell

PANEL_WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, GAP = 560, 300, 70, 30, 112, 46, 30
# Told apart by those who see no red or green as well (Okabe & Ito).
COLOURS = {
    "webinfer 8bit": "#0072b2",
    "onnxruntime fp32": "#999999",
    "onnxruntime int8": "#d55e00",
    "onnxruntime fp32, WebNN": "#009e73",
    "onnxruntime fp16, WebNN": "#56b4e9",
    "onnxruntime int8, WebNN": "#cc79a7",
}
# Cosines by how many nines they have; what is nearer to 1 than the last is drawn there.
COSINES = (0.9, 0.99, 0.999, 0.9999, 0.99999)
TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
# From line to line of names, and half of a letter's width.
LINE, HALF_LETTER = 13, 3.4


def draw_encoders(cells: Sequence[EncoderCell]) -> str:
    """A point an engine and place: its least time to the right on a logarithmic scale, its cosine upwards."""
    lengths = sorted({cell.tokens for cell in cells})
    height = TOP + len(lengths) * (HEIGHT + BOTTOM + GAP)
    width = LEFT + PANEL_WIDTH + RIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="28" font-size="16">Encoders {_threads(cells)}: speed against cosine</text>',
        '<text x="16" y="46" fill="#555">up and to the left is better; filled: in a page; hollow: natively'
        "</text>",
        *_draw_legend([engine for engine in COLOURS if any(cell.engine == engine for cell in cells)]),
    ]
    for place, n_tokens in enumerate(lengths):
        lines += _draw_panel([cell for cell in cells if cell.tokens == n_tokens], n_tokens, place)
    return "\n".join([*lines, "</svg>", ""])


def _threads(cells: Sequence[EncoderCell]) -> str:
    most = max((cell.threads or 1 for cell in cells), default=1)
    return "on one thread" if most == 1 else f"on up to {most} threads"


def _draw_legend(engines: Sequence[str]) -> Iterator[str]:
    """The names in their colours, three a line."""
    for index, engine in enumerate(engines):
        x, y = LEFT + 190 * (index % 3), 64 + 16 * (index // 3)
        yield f'<text x="{x}" y="{y}" fill="{COLOURS[engine]}" font-weight="bold">{escape(engine)}</text>'


def _draw_panel(cells: Sequence[EncoderCell], n_tokens: int, place: int) -> Iterator[str]:
    top = TOP + place * (HEIGHT + BOTTOM + GAP)
    times = [cell.run.min_ms for cell in cells]
    ticks = _ticks(min(times), max(times))
    title = f"an image of {n_tokens} rows" if cells[0].of == "image" else f"a text of {n_tokens} tokens"
    yield f'<text x="{LEFT}" y="{top - 12}" font-weight="bold">{title}</text>'
    yield f'<rect x="{LEFT}" y="{top}" width="{PANEL_WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>'
    for cosine in COSINES:
        y = top + _y(cosine)
        yield f'<line x1="{LEFT}" x2="{LEFT + PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        label = "1" if cosine == COSINES[-1] else f"{cosine:g}"
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    for ms in ticks:
        x = LEFT + _x(ms, ticks)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + HEIGHT}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{top + HEIGHT + 18}" text-anchor="middle">{ms:g} ms</text>'
    yield from _draw_points(cells, ticks, top)


def _draw_points(cells: Sequence[EncoderCell], ticks: Sequence[float], top: float) -> Iterator[str]:
    """The points, and below each its name: under those of points to its left at the same height."""
    placed: list[tuple[float, int]] = []
    for cell in sorted(cells, key=lambda each: each.run.min_ms):
        x, y = LEFT + _x(cell.run.min_ms, ticks), top + _y(cell.cosine)
        colour = COLOURS.get(cell.engine, "#000")
        fill = "#fff" if cell.place == "native" else colour
        row = 1 + max((row for other, row in placed if abs(other - y) < LINE), default=0)
        placed.append((y, row))
        text_y = y + 8 + LINE * row
        name = f"{cell.place}, {cell.run.min_ms:.1f} ms"
        half = min(HALF_LETTER * len(name), PANEL_WIDTH / 2)
        text_x = min(max(x, LEFT + half), LEFT + PANEL_WIDTH - half)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{text_y - LINE + 3:.1f}" '
            f'stroke="{colour}" stroke-opacity="0.4"/>'
        )
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
        yield (
            f'<text x="{text_x:.1f}" y="{text_y:.1f}" text-anchor="middle" fill="{colour}">'
            f"{escape(name)}</text>"
        )


def _ticks(least: float, most: float) -> list[float]:
    """Round times from one at or below `least` to one at or above `most`."""
    first = max((ms for ms in TICKS_MS if ms <= least), default=TICKS_MS[0])
    last = min((ms for ms in TICKS_MS if ms >= most), default=TICKS_MS[-1])
    return [float(ms) for ms in TICKS_MS if first <= ms <= max(last, 2 * first)]


def _x(ms: float, ticks: Sequence[float]) -> float:
    return PANEL_WIDTH * math.log(ms / ticks[0]) / math.log(ticks[-1] / ticks[0])


def _y(cosine: float) -> float:
    """From the top, a nine a step; the worst cosine that is drawn at its place is 0."""
    nines = -math.log10(max(1 - cosine, 1 - COSINES[-1]))
    return HEIGHT * (1 - (nines + 0.3) / (-math.log10(1 - COSINES[-1]) + 0.6))
