"""The three forms of a report, safe with hostile names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from scheduler.reports.daily import LATEST, keep_report
from scheduler.reports.facts import Report
from scheduler.reports.gathering import DAY_S
from scheduler.reports.glance import MAX_ROWS, build_glance
from scheduler.reports.sections import Section
from scheduler.reports.writing import (
    _markdown_section,
    escape_markdown,
    write_html,
    write_json,
    write_markdown,
)
from tests.unit.reports.histories import HOSTILE


def test_json_holds_every_fact(report: Report) -> None:
    told = json.loads(write_json(report))
    assert told["totals"]["n_runs"] == report.totals.n_runs
    assert HOSTILE in {trend["model"] for trend in told["trends"]}


def test_html_has_no_markup_that_is_not_ours(report: Report) -> None:
    page = write_html(report)
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 4
    assert "&lt;/script&gt;" in page


def test_html_loads_nothing(report: Report) -> None:
    page = write_html(report)
    assert not re.search(r"""(src|href)=["'](?!#|data:,)""", page.split("<script")[0])
    assert not re.search(r"@import|url\(", page.split("<body")[0])


def test_the_policy_allows_exactly_what_stands_in_the_page(report: Report) -> None:
    page = write_html(report)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = set(re.findall(r"sha256-([\w+/=]+)", policy[1]))
    bodies = re.findall(r"<script>(.*?)</script>", page, re.DOTALL) + re.findall(
        r"<style>(.*?)</style>", page, re.DOTALL
    )
    assert {base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies} == allowed
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe" not in policy[1]


def test_markdown_shows_names_as_they_are(report: Report) -> None:
    text = write_markdown(report)
    assert "</script>" not in re.sub(r"\\.", "", text)
    assert "bert firefox wasm fp32 batch 1" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_a_name_cannot_leave_its_cell_nor_steer_a_terminal() -> None:
    escaped = escape_markdown("a|b\nc\x1b[31m [x](javascript:1) `d` <b>")
    assert "\n" not in escaped and "\x1b" not in escaped
    assert escaped == r"a\|b c \[31m \[x\](javascript:1) \`d\` \<b\>"


def test_the_first_screen_says_which_browser_and_what_got_worse(report: Report) -> None:
    """The slowdown of the known history, and the backend that an update took from Firefox."""
    text = write_markdown(report)
    first, _, rest = text.partition("## Trends and changes")
    assert "| bert (fp32) | chrome, wasm | " in first and "| edge, " in first
    assert "| latency of bert firefox wasm fp32 batch 1 | +35.0% | 12 → 16.2 | high |" in first
    assert "| webgpu in firefox | lost | proved → failed: no adapter | - |" in first
    assert first.index("Which browser for which model") < first.index("What got worse")
    assert "## Browsers compared" in rest
    page = write_html(report)
    assert (
        page.index('id="choice"') < page.index('id="worse"') < page.index("<nav") < page.index('id="trends"')
    )


def test_a_long_first_screen_is_cut_and_says_so(report: Report) -> None:
    (one,) = [each for each in report.recommendations if each.model == "bert"]
    text = write_markdown(replace(report, recommendations=[one] * 30))
    assert f"And {30 - MAX_ROWS} more: see Browsers compared." in text
    assert text.count("| bert (fp32) |") == MAX_ROWS


def test_regressions_are_listed_the_worst_first(report: Report) -> None:
    (change,) = report.changes
    changes = [
        replace(change, severity="low", metric="memory"),
        replace(change, severity="high", metric="throughput", changed_at_s=change.changed_at_s - 1),
        replace(change, severity="high"),
        replace(change, direction="improvement", metric="better"),
    ]
    worse = build_glance(replace(report, changes=changes))[1]
    assert [row[1].split()[0] for row in worse.rows] == ["latency", "throughput", "memory", "webgpu"]


def test_an_empty_report_says_so(report: Report) -> None:
    empty = replace(report, trends=[], changes=[], browsers=[], impact=[], scaling=[], alerts=[])
    empty = replace(empty, recommendations=[], capability_changes=[])
    assert "No run was measured." in write_html(empty)
    assert "No alert." in write_markdown(empty)
    assert "Nothing was measured yet." in write_markdown(empty)
    assert "Nothing that was measured got worse, and no browser lost a backend." in write_markdown(empty)


def test_daily_files_are_whole_and_the_oldest_go(report: Report, tmp_path: Path) -> None:
    days = [replace(report, made_at_s=report.made_at_s + day * DAY_S) for day in range(3)]
    files = [keep_report(each, tmp_path, 2) for each in days]
    (tmp_path / "notes.html").write_text("mine")
    keep_report(days[-1], tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {files[1].name, files[2].name, LATEST, "notes.html"}
    assert files[0].name == "webinfer-2026-11-20.html"
    assert (tmp_path / LATEST).read_text() == files[2].read_text()


def test_headings_and_heads_of_columns_are_escaped_like_cells(report: Report) -> None:
    name = "x | <b>y</b>\n# forged"
    section = Section("key", name, (name, "two"), (("1", "2"),), "", name)
    lines = _markdown_section(section)
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines[:3]}) == 1
    told = "\n".join([*lines, *_markdown_section(replace(section, rows=(), empty=name))])
    told += write_markdown(replace(report, model=name))
    assert "<b>" not in re.sub(r"\\.", "", told)
    assert "\n# forged" not in told
