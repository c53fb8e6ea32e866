"""The results of `webinfer bench regression` as tables and as an SVG."""

from __future__ import annotations

from rich.table import Table

from webinfer.bench.regression import BASELINE, HOURS_A_MONTH, SIZES, Found, Quality

WIDTH, HEIGHT = 720, 470
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 106
# Told apart by those who see no red or green as well (Okabe & Ito).
COLOURS = ("#0072b2", "#999999", "#d55e00", "#e69f00")
LARGEST = max(SIZES)


def tabulate(quality: Quality) -> list[Table]:
    """Tables of quiet months and of steps: a row per noise, a column per detector."""
    detectors = list(dict.fromkeys(one.detector for one in quality.quiet))
    quiet = Table("noise", "samples", "months", *detectors, title="quiet months with an alarm")
    for name, length in dict.fromkeys((one.noise, one.samples_a_month) for one in quality.quiet):
        ones = [one for one in quality.quiet if (one.noise, one.samples_a_month) == (name, length)]
        shares = [f"{one.share:.2%}" for one in ones]
        quiet.add_row(name, str(length), str(ones[0].n_months), *shares)
    found = Table("noise", "step", "before", *detectors, title="steps found within 20 samples (median delay)")
    for name, ratio, before in dict.fromkeys((one.noise, one.ratio, one.n_before) for one in quality.found):
        steps = [
            one for one in quality.found if (one.noise, one.ratio, one.n_before) == (name, ratio, before)
        ]
        found.add_row(name, f"{ratio - 1:+.0%}", str(before), *(_cell(one) for one in steps))
    sizes = ("a fifth smaller", "as large", "a fifth larger")
    visible = Table("noise", "told for", "told", *sizes, title="steps found of the smallest visible change")
    for known in quality.visible:
        told = "-" if known.told is None else f"{known.told:.1%}"
        row = (f"{share:.1%}" for share in known.shares)
        visible.add_row(known.noise, f"{known.n_told} of {known.n}", told, *row)
    return [quiet, found, visible]


def _cell(one: Found) -> str:
    return f"{one.share:.1%}" + ("" if one.median_delay is None else f" ({one.median_delay:.0f})")


def draw_curves(quality: Quality) -> str:
    """An SVG of the share of steps found by size; the legend has each detector's false alarms."""
    lines = [*_frame()]
    false = {
        one.detector: one.share
        for one in quality.quiet
        if (one.noise, one.samples_a_month) == ("normal", HOURS_A_MONTH)
    }
    for k, (detector, share) in enumerate(false.items()):
        lines += _curve(k, [one for one in quality.curves if one.detector == detector])
        lines += _legend(k, f"{detector} ({share:.1%} false alarms)")
    return "\n".join([*lines, "</svg>", ""])


def _frame() -> list[str]:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    title = f"Steps found within 20 samples, after {BASELINE} samples with normal noise of 3 %"
    lines = [head + ' font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    lines.append(f'<text x="{LEFT}" y="28" font-size="16">{title}</text>')
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for percent in range(0, round(LARGEST * 100) + 1, 5):
        place = f'x="{_x(percent / 100):.1f}" y="{HEIGHT - BOTTOM + 20}"'
        lines.append(f'<text {place} text-anchor="middle">{percent} %</text>')
    middle = f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 42}"'
    lines.append(f'<text {middle} text-anchor="middle">size of the step</text>')
    return lines


def _curve(k: int, ones: list[Found]) -> list[str]:
    points = [(_x(one.ratio - 1), _y(one.share)) for one in ones]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[k]}"/>' for x, y in points]
    return [f'<polyline points="{path}" fill="none" stroke="{COLOURS[k]}" stroke-width="2"/>', *dots]


def _legend(k: int, text: str) -> list[str]:
    x, y = LEFT + 330 * (k % 2), HEIGHT - 34 + 22 * (k // 2)
    return [
        f'<path d="M{x} {y - 4}h22" stroke="{COLOURS[k]}" stroke-width="3"/>',
        f'<text x="{x + 30}" y="{y}">{text}</text>',
    ]


def _x(size: float) -> float:
    return LEFT + size / LARGEST * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
