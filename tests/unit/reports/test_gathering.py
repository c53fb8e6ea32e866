"""The facts of a report, against a history whose every value is known."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from scheduler.history.history import History
from scheduler.reports.facts import Report
from scheduler.reports.gathering import DAY_S, MAX_POINTS, WIDTHS_S, bucket_width, gather
from tests.unit.reports.histories import BROWSERS, CHANGED_AT_S, HOSTILE, N_DAYS, NOW_S, SLOWDOWN


def test_everything_is_counted(report: Report) -> None:
    n = N_DAYS * 6 * 3 * 2 * 4
    assert (report.totals.n_runs, report.totals.n_models, report.totals.n_sessions) == (n, 2, 3)
    assert report.totals.n_failed == N_DAYS * 3 * 2
    assert report.cut == []


def test_a_trend_is_a_model_with_a_line_a_browser(report: Report) -> None:
    assert {trend.model for trend in report.trends} == {"bert", HOSTILE}
    trend = report.trends[0]
    assert [line.browser for line in trend.lines] == sorted(BROWSERS)
    assert all(len(line.p50_ms) == len(trend.at_s) for line in trend.lines)
    assert sum(sum(line.n) for line in trend.lines) == trend.n_runs == report.totals.n_runs / 2


def test_the_slowdown_shows_in_its_line_and_nowhere_else(report: Report) -> None:
    for trend in report.trends:
        for line in trend.lines:
            before = [v for at, v in zip(trend.at_s, line.p50_ms, strict=True) if at < CHANGED_AT_S]
            after = [v for at, v in zip(trend.at_s, line.p50_ms, strict=True) if at >= CHANGED_AT_S]
            expected = SLOWDOWN if line.browser == "firefox" else 1.0
            assert median(map(float, filter(None, after))) / median(
                map(float, filter(None, before))
            ) == pytest.approx(expected, abs=0.03)


def test_a_change_belongs_to_its_trend_only(report: Report) -> None:
    marked = {trend.model: [change.changed_at_s for change in trend.changes] for trend in report.trends}
    assert marked == {"bert": [CHANGED_AT_S], HOSTILE: []}
    assert report.changes[0].place == "bert firefox wasm fp32 batch 1"


def test_browsers_are_compared_with_the_quickest(report: Report) -> None:
    rows = {row.browser: row for row in report.browsers if row.model == "bert"}
    assert rows["chrome"].to_best == 1.0
    assert rows["firefox"].to_best is not None and rows["firefox"].to_best > 1.2
    assert rows["edge"].n_failed == rows["edge"].n / 8


def test_the_browser_to_use_is_the_quickest_that_was_measured(report: Report) -> None:
    (found,) = [each for each in report.recommendations if each.model == "bert"]
    assert (found.browser, found.next_browser, found.n_runs) == ("chrome", "edge", 3 * 336 - 42)
    assert found.expected_ms == pytest.approx(10 + 5, rel=0.05)  # computing, and the 5 ms around it
    assert found.next_ratio == pytest.approx((11 + 5) / (10 + 5), rel=0.02)
    assert found.chance > 0.9
    assert {each.model for each in report.recommendations} == {"bert", HOSTILE}


def test_a_browser_that_mostly_fails_is_not_the_one_to_use(tmp_path: Path) -> None:
    run = {"model": "m", "family": "vision", "precision": "fp32", "backend": "wasm", "batch_size": 1}
    rows = [
        ("runs", run | {"at": NOW_S - n, "browser": browser, "total_ms": ms, "ok": ok} | error)
        for n in range(1, 40)
        for browser, ms, ok, error in (
            ("chrome", 20.0, True, {}),
            ("edge", 10.0, n % 8 == 0, {} if n % 8 == 0 else {"error_code": "BadOutput"}),
        )
    ]
    with History(tmp_path / "h.duckdb") as history:
        history.append(rows)
        (found,) = gather(history.query, NOW_S, 1).recommendations
    assert (found.browser, found.next_browser) == ("chrome", "edge")


def test_the_matrix_has_the_newest_and_its_changes_are_told_once(report: Report) -> None:
    assert report.matrix.cells == {"webgpu": {"chrome": "proved", "firefox": "failed: no adapter"}}
    (change,) = report.capability_changes
    assert (change.browser, change.value_before, change.build_before) == ("firefox", "proved", "firefox 149")


def test_connections_health_routing_and_scaling(report: Report) -> None:
    assert {(row.browser, row.event): row.n for row in report.connections} == {
        ("firefox", "died"): 1,
        ("firefox", "reconnected"): 1,
        ("edge", "recycled"): 1,
    }
    assert min(filter(None, report.health.lines["firefox"])) == 40.0
    assert max(filter(None, report.open_breakers.lines["firefox"])) == 1.0
    assert [(row.browser, row.share) for row in report.routing] == [("chrome", 0.95), ("firefox", 0.05)]
    assert [row.n_to for row in report.scaling] == [1, 3]
    assert {row.reason for row in report.reasons if row.browser == "edge"} == {"exploring"}


def test_what_models_share_is_counted_within_the_span(history: History) -> None:
    days = gather(history.query, NOW_S, 2)
    rows = {row.browser: row for row in days.sharing}
    assert set(rows) == {"chrome", "firefox"}, "Edge holds nothing"
    fox = rows["firefox"]
    assert (fox.n_sessions, fox.n_graphs, fox.n_uses, fox.saved_bytes) == (1, 3, 5, 2_000_000)
    # 12 samples a day, each two more computed and six taken; the counters began anew between the two days.
    assert (fox.hits, fox.misses, fox.hit_bytes) == (2 * 12 * 6, 2 * 12 * 2, 2 * 12 * 1000)
    assert (fox.n_results, fox.result_bytes) == (24, 24_000)
    assert (rows["chrome"].n_uses, rows["chrome"].saved_bytes, rows["chrome"].hits) == (3, 0, 0)
    assert days.recalls == []


def test_runs_that_took_results_are_counted_by_model(tmp_path: Path) -> None:
    run = {"model": "clip", "family": "vision", "precision": "fp32", "backend": "wasm", "ok": True}
    rows = [
        ("runs", run | {"at": NOW_S - n, "browser": browser, "flags": json.dumps({"tensor_sharing": took})})
        for n in range(1, 9)
        for browser, took in (("chrome", n > 6), ("edge", False))
    ]
    with History(tmp_path / "h.duckdb") as history:
        history.append([*rows, ("runs", run | {"at": NOW_S - 1, "browser": "chrome", "flags": None})])
        report = gather(history.query, NOW_S, 1)
    (row,) = report.recalls
    assert (row.model, row.browser, row.backend, row.n, row.n_took) == ("clip", "chrome", "wasm", 9, 2)


def test_what_a_flag_brings(report: Report) -> None:
    impact = next(row for row in report.impact if (row.model, row.browser) == ("bert", "chrome"))
    assert impact.is_paired
    assert impact.ratio == pytest.approx(0.9, abs=0.002)
    assert impact.low is not None and impact.high is not None
    assert impact.low < 0.9 < impact.high < 0.91
    assert (impact.verdict, impact.n_on, impact.n_off) == ("quicker", 168, 168)


def test_one_model_only(history: History) -> None:
    report = gather(history.query, NOW_S, N_DAYS, "bert")
    assert {trend.model for trend in report.trends} == {row.model for row in report.browsers} == {"bert"}
    assert report.totals.n_models == 1


def test_only_the_days_asked_for(history: History) -> None:
    report = gather(history.query, NOW_S, 1)
    assert report.totals.n_runs == 6 * 3 * 2 * 4
    assert report.changes == report.connections == []


def test_old_hours_are_drawn_by_what_is_left_of_them(tmp_path: Path) -> None:
    hour = {"model": "bert", "browser": "chrome", "backend": "wasm", "precision": "fp32", "batch_size": 1}
    with History(tmp_path / "h.duckdb") as history:
        old = {"n": 10, "n_failed": 1, "service_p50_ms": 10.0, "service_p95_ms": 12.0}
        more = old | {"n": 30, "service_p50_ms": 14.0}
        at = {"at": NOW_S - 60 * DAY_S}
        history.append([("runs_hourly", hour | at | each) for each in (old, more)])
        run = hour | {"compute_ms": 20.0, "ok": True, "at": NOW_S - DAY_S}
        history.append([("runs", run)])
        report = gather(history.query, NOW_S, 90)
    (line,) = report.trends[0].lines
    assert (list(line.p50_ms), list(line.n), list(line.n_failed)) == ([13.0, 20.0], [40, 1], [2, 0])
    assert (report.totals.n_runs, report.totals.n_failed) == (41, 2)


def test_an_empty_history_is_a_report_too(tmp_path: Path) -> None:
    with History(tmp_path / "h.duckdb") as history:
        report = gather(history.query, NOW_S, 30)
    assert report.totals.n_runs == 0
    assert report.trends == report.impact == report.recommendations == []


def test_strange_flags_and_series_break_nothing(tmp_path: Path) -> None:
    run = {"at": NOW_S - 60, "model": "m", "browser": "b", "backend": "wasm", "compute_ms": 1.0, "ok": True}
    strange = ["[1]", "3", '"x"', '{"a": {"b": true}}', json.dumps({"\"$.x'": True}), "null", "{}"]
    with History(tmp_path / "h.duckdb") as history:
        history.append([("runs", run | {"flags": flags}) for flags in strange])
        change = {"series": "[1]", "metric": "latency", "changed_at": NOW_S - 60, "before": 0.0, "after": 1.0}
        history.append([("changes", change)])
        report = gather(history.query, NOW_S, 1)
    assert [row.flag for row in report.impact] == ["\"$.x'"]
    assert report.changes[0].ratio is None


@pytest.mark.parametrize("days", [0.01, 0.5, 1, 7, 30, 90, 365])
def test_charts_have_as_many_points_as_a_phone_has_room_for(days: float) -> None:
    width_s = bucket_width(days * DAY_S)
    assert days * DAY_S / width_s <= MAX_POINTS
    narrower = [width for width in WIDTHS_S if width < width_s]
    assert all(days * DAY_S / width > MAX_POINTS for width in narrower)
