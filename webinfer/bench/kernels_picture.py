"""What `webinfer bench kernels` found, as an SVG: milliseconds of one product by bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from browser_runtime.contract.vocabulary import Backend
from webinfer.bench.kernels import KernelPlace, KernelRow

CASE = "4096x2048, 1 token"
WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 780, 250, 90, 16, 5, 72
# Told apart by those who see no red or green as well (Okabe & Ito).
OURS_COLOUR, PEERS_COLOUR = "#0072b2", "#999999"


def draw_products(places: Sequence[KernelPlace]) -> str:
    """Bars of the product in `CASE` on a logarithmic scale, a block a browser and backend."""
    blocks = [(place, rows) for place in places if (rows := _rows(place))]
    times = [row.run.min_ms for _, rows in blocks for row in rows if row.run] or [1.0]
    least, most = 10 ** math.floor(math.log10(min(times))), max(times)
    lines, y = [], TOP
    for place, rows in blocks:
        title = f"{place.build}, {place.backend}"
        # Firefox does not name its adapter.
        if place.backend != Backend.WASM and place.adapter:
            title += f" on {place.adapter}"
        lines.append(f'<text x="16" y="{y}" font-weight="bold">{escape(title)}</text>')
        for row in rows:
            y += BAR + GAP
            lines += _bar(row, y - 8, least, most)
        y += 44
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif"'
    frame = [head + ' font-size="12">', f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>']
    frame.append(f'<text x="16" y="28" font-size="16">Milliseconds of a matrix of {CASE}</text>')
    frame.append('<text x="16" y="46" fill="#555">less is better; the scale is logarithmic</text>')
    return "\n".join([*frame, *lines, "</svg>", ""])


def _rows(place: KernelPlace) -> list[KernelRow]:
    """The quickest variant of ours that computes right at each number of bits, then onnxruntime's."""
    quickest: dict[tuple[bool, str], KernelRow] = {}
    for row in place.rows:
        if row.run is None or row in place.wrong or not row.case.endswith(CASE):
            continue
        key = (_is_peer(row), row.case)
        found = quickest.get(key)
        if found is None or found.run is None or row.run.min_ms < found.run.min_ms:
            quickest[key] = row
    return [quickest[key] for key in sorted(quickest, key=lambda key: (key[0], int(key[1].split()[1])))]


def _is_peer(row: KernelRow) -> bool:
    return row.kernels.startswith("onnxruntime")


def _bar(row: KernelRow, y: int, least: float, most: float) -> list[str]:
    assert row.run is not None, "only what ran is drawn"
    ms = row.run.min_ms
    width = (WIDTH - LEFT - RIGHT) * math.log(ms / least) / math.log(most / least) if most > least else 1
    name = f"{row.kernels.removeprefix('low_bits ')}, {row.case.split()[1]} bits"
    colour = PEERS_COLOUR if _is_peer(row) else OURS_COLOUR
    return [
        f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" fill="{colour}"/>',
        f'<text x="{LEFT + max(width, 1) + 6:.1f}" y="{y + 12}">{ms:.3g} ms</text>',
    ]
