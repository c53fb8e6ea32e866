"""The sections of what happened: changes, decisions, alerts, sessions and capabilities. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.reports.facts import Matrix, Report
from scheduler.reports.sections import Section, cut_note, moment, number, percent
from scheduler.reports.trend_facts import ReportedChange


def _change_rows(changes: Sequence[ReportedChange]) -> list[list[str]]:
    return [
        [
            moment(change.changed_at_s),
            change.direction,
            change.severity,
            change.metric,
            change.place,
            number(change.before),
            number(change.after),
            percent(change),
            "-" if change.p_value is None else f"{change.p_value:.2g}",
            "; ".join(filter(None, (change.cause, change.note))) or "-",
        ]
        for change in changes
    ]


def build_trends(report: Report) -> Section:
    """The changes found, in time order."""
    left = report.n_trends - len(report.trends)
    return Section(
        "trends",
        "Trends and changes",
        (
            "since (UTC)",
            "direction",
            "severity",
            "metric",
            "series",
            "before",
            "after",
            "change",
            "p",
            "at the same time",
        ),
        _change_rows(report.changes),
        "No change was found.",
        f"The busiest {len(report.trends)} of {report.n_trends} series are drawn." if left else "",
    )


def build_routing(report: Report) -> Section:
    """The rows of the routing table that was published last."""
    rows = [
        [
            row.model,
            row.browser,
            f"{row.backend} {row.precision}".strip(),
            "-" if row.share is None else f"{row.share:.1%}",
            number(row.score),
            row.reason,
            moment(row.at_s),
        ]
        for row in report.routing
    ]
    columns = ("model", "browser", "backend", "share", "score", "reason", "since (UTC)")
    return Section(
        "routing", "Routing table", columns, rows, "No table was published.", cut_note(report, "routing")
    )


def build_reasons(report: Report) -> Section:
    """Requests by model, browser and the reason they went there."""
    rows = [[row.model, row.browser, row.reason or "-", number(row.n)] for row in report.reasons]
    columns = ("model", "browser", "reason", "runs")
    return Section(
        "reasons",
        "Where requests went, and why",
        columns,
        rows,
        "No run was measured.",
        cut_note(report, "reasons"),
    )


def build_scaling(report: Report) -> Section:
    """Decisions to grow or to shrink."""
    rows = [
        [
            moment(row.at_s),
            f"{row.scope} {row.name}",
            row.action + (" (dry run)" if row.dry_run else ""),
            f"{row.n_from} to {row.n_to}",
            row.reason,
        ]
        for row in report.scaling
    ]
    columns = ("at (UTC)", "what", "action", "how many", "reason")
    return Section("scaling", "Scaling", columns, rows, "Nothing was scaled.", cut_note(report, "scaling"))


def build_alerts(report: Report) -> Section:
    """Alerts that opened or closed."""
    rows = [[moment(row.at_s), row.state, row.severity, row.title, row.text] for row in report.alerts]
    columns = ("at (UTC)", "state", "severity", "title", "text")
    return Section("alerts", "Alerts", columns, rows, "No alert.", cut_note(report, "alerts"))


def build_capabilities(report: Report) -> Section:
    """Features by browser."""
    matrix: Matrix = report.matrix
    columns = [f"{name} ({matrix.builds[name]})" if matrix.builds[name] else name for name in matrix.browsers]
    rows = [
        [feature, *(found[name] or "-" for name in matrix.browsers)]
        for feature, found in matrix.cells.items()
    ]
    return Section("capabilities", "Capabilities", ("feature", *columns), rows, "No browser was examined.")


def build_capability_changes(report: Report) -> Section:
    """Features that browsers gained or lost."""
    rows = [
        [
            moment(row.at_s),
            row.browser,
            row.feature,
            row.value_before or "-",
            row.value or "-",
            row.build_before
            if row.build_before == row.browser_build
            else f"{row.build_before} to {row.browser_build}",
        ]
        for row in report.capability_changes
    ]
    columns = ("at (UTC)", "browser", "feature", "before", "now", "build")
    empty = "No capability changed."
    return Section(
        "capability-changes",
        "Changes of capabilities",
        columns,
        rows,
        empty,
        cut_note(report, "capability_changes"),
    )


def build_connections(report: Report) -> Section:
    """Events of sessions, counted."""
    rows = [
        [row.browser, row.event, number(row.n), moment(row.last_at_s), row.last_reason or "-"]
        for row in report.connections
    ]
    columns = ("browser", "event", "times", "last (UTC)", "last reason")
    return Section("connections", "Connections and health", columns, rows, "No session came or went.")
