"""A report as JSON, as Markdown or as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scheduler.experiments import html, markdown
from scheduler.experiments.html import STYLE_FILE
from scheduler.experiments.markdown import escape_markdown
from scheduler.reports.facts import Report
from scheduler.reports.glance import build_glance
from scheduler.reports.sections import Section, moment, number
from scheduler.reports.tables import build_sections

ROOM = Path(__file__).parent
# The charts' library and axes, kept once for the reports and for Flower's pages.
SHARED = ROOM.parent / "monitor/static"

# The facts that the page draws.
DRAWN = ("trends", "health", "open_breakers", "shares", "scaling")
# Larger values are times, which keep all their digits.
MAX_ROUNDED = 1e8


def write_json(report: Report) -> str:
    """Every fact; times are seconds since 1970, UTC."""
    return json.dumps(asdict(report), indent=2, allow_nan=False)


def write_markdown(report: Report) -> str:
    """The tables, for a terminal or a pull request."""
    parts = [
        f"# {escape_markdown(title(report))}",
        "",
        *(escape_markdown(line) + "  " for line in summary(report)),
        "",
    ]
    for section in (*build_glance(report), *build_sections(report)):
        parts += [f"## {escape_markdown(section.title)}", "", *_markdown_section(section), ""]
        for one in section.results:
            heading = f"### {escape_markdown(one.title)}"
            parts += [heading, "", escape_markdown(one.verdict), "", markdown.write_result(one.table)]
    return "\n".join(parts)


def _markdown_section(section: Section) -> list[str]:
    if not section.rows:
        return [escape_markdown(section.empty)]
    head, *rows = [[escape_markdown(cell) for cell in row] for row in (section.columns, *section.rows)]
    lines = [_markdown_row(head), _markdown_row(["---"] * len(section.columns))]
    return [*lines, *map(_markdown_row, rows), *(["", escape_markdown(section.note)] if section.note else [])]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_html(report: Report) -> str:
    """One page that loads nothing; its policy allows its own scripts and styles only."""
    files = (SHARED / "vendor/uPlot.iife.min.js", SHARED / "chart_axes.js", ROOM / "page/report.js")
    scripts = [_asset(file) for file in files]
    styles = [
        _asset(file) for file in (SHARED / "vendor/uPlot.min.css", STYLE_FILE, ROOM / "page/report.css")
    ]
    page: str = _template().render(
        title=title(report),
        summary=summary(report),
        glance=build_glance(report),
        sections=build_sections(report),
        write_result=lambda one: Markup(html.write_result(one.table, one.title)),  # noqa: S704 - escaped there
        charts=chart_data(report),
        scripts=[Markup(text) for text in scripts],  # noqa: S704 - our own files
        styles=[Markup(text) for text in styles],  # noqa: S704
        policy=_policy(scripts, styles),
    )
    return page


def title(report: Report) -> str:
    """The headline."""
    return "webinfer report" + (f": {report.model}" if report.model else "")


def summary(report: Report) -> list[str]:
    """The span and the totals, a line each."""
    totals = report.totals
    share = totals.n_failed / totals.n_runs if totals.n_runs else 0.0
    return [
        f"{moment(report.since_s)} to {moment(report.until_s)} UTC",
        f"{_count(totals.n_runs, 'run')} of {_count(totals.n_models, 'model')} "
        f"on {_count(totals.n_browsers, 'browser')}, "
        f"{share:.2%} failed, {number(totals.n_simulated)} simulated",
    ]


def _count(n: int, noun: str) -> str:
    """`1 run`, `2,016 runs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def chart_data(report: Report) -> Mapping[str, Any]:
    """The facts that the page draws, as JSON can hold them."""
    whole = asdict(report)
    return {name: _rounded(whole[name]) for name in DRAWN} | {"bucket_s": report.bucket_s}


def _rounded(value: Any) -> Any:
    """To the figures that a chart can show: it halves the page."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < MAX_ROUNDED else value
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The content policy: of scripts and styles those with these hashes, and nothing from anywhere."""
    return (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; "
        f"style-src {' '.join(map(_hash, styles))}; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache
def _asset(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


@lru_cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(ROOM / "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.jinja")


def stamp(now_s: float) -> str:
    """The day of a report in its file's name."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d")
