"""The facts as sections of text cells, the same for HTML and Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from browser_runtime.contract.acceleration import ACCELERATIONS
from scheduler.experiments.tables import ResultTable
from scheduler.reports.facts import Impact, Matrix, Report, ReportedChange
from scheduler.reports.gathering import MAX_ROWS


@dataclass(frozen=True, slots=True)
class Result:
    """One experiment in full."""

    title: str
    verdict: str
    table: ResultTable


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table, and the chart that stands above it."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str
    """The sentence in place of rows."""
    note: str = ""
    results: Sequence[Result] = ()
    """What stands below the table."""


def build_sections(report: Report) -> list[Section]:
    """Every section below the first screen, in the order a reader needs them."""
    return [build(report) for build in SECTIONS]


def moment(at_s: float) -> str:
    """To the minute, UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")


def number(value: float | None, digits: int = 4) -> str:
    """Counts whole, measurements to `digits` figures, nothing as a dash."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def megabytes(size_bytes: int) -> str:
    """Bytes in millions, to four figures."""
    return number(size_bytes / 1e6)


def _cut(report: Report, name: str) -> str:
    return f"The first {MAX_ROWS} of more." if name in report.cut else ""


def percent(change: ReportedChange) -> str:
    """The change relative to before, with its sign."""
    return "-" if change.ratio is None else f"{change.ratio - 1:+.1%}"


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


def _trends(report: Report) -> Section:
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


def _browsers(report: Report) -> Section:
    rows = [
        [
            row.model,
            row.browser_build or row.browser,
            f"{row.backend} {row.precision}".strip(),
            row.adapter + {True: " (software)", False: "", None: ""}[row.is_software],
            number(row.n),
            f"{row.n_failed / row.n:.1%}",
            number(row.p50_ms),
            number(row.p95_ms),
            "-" if row.to_best is None else f"{row.to_best:.2f}",
            number(row.total_p50_ms),
            number(row.memory_mb),
        ]
        for row in report.browsers
    ]
    columns = ("model", "browser", "backend", "adapter", "runs", "failed", "p50 ms", "p95 ms")
    return Section(
        "browsers",
        "Browsers compared",
        (*columns, "to best", "total p50 ms", "memory MB"),
        rows,
        "No run was measured.",
        _cut(report, "browsers")
        or "p50 and p95: computing and the way to the page and back. To best: over the model's least p50.",
    )


def _capabilities(report: Report) -> Section:
    matrix: Matrix = report.matrix
    columns = [f"{name} ({matrix.builds[name]})" if matrix.builds[name] else name for name in matrix.browsers]
    rows = [
        [feature, *(found[name] or "-" for name in matrix.browsers)]
        for feature, found in matrix.cells.items()
    ]
    return Section("capabilities", "Capabilities", ("feature", *columns), rows, "No browser was examined.")


def _capability_changes(report: Report) -> Section:
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
        _cut(report, "capability_changes"),
    )


def _connections(report: Report) -> Section:
    rows = [
        [row.browser, row.event, number(row.n), moment(row.last_at_s), row.last_reason or "-"]
        for row in report.connections
    ]
    columns = ("browser", "event", "times", "last (UTC)", "last reason")
    return Section("connections", "Connections and health", columns, rows, "No session came or went.")


def _sharing(report: Report) -> Section:
    rows = [
        [
            row.browser,
            number(row.n_sessions),
            number(row.n_graphs),
            number(row.n_uses),
            megabytes(row.saved_bytes),
            number(row.n_results),
            megabytes(row.result_bytes),
            number(row.hits),
            number(row.misses),
            f"{row.hits / (row.hits + row.misses):.1%}" if row.hits + row.misses else "-",
            megabytes(row.hit_bytes),
        ]
        for row in report.sharing
    ]
    columns = ("browser", "sessions", "graphs", "uses", "saved MB", "results", "results MB")
    return Section(
        "sharing",
        "Sharing between models",
        (*columns, "taken", "computed", "share taken", "taken MB"),
        rows,
        "Nothing that models may share was open.",
        "Graphs, uses and saved bytes are of the moment at which a session saved most; results of that at "
        "which they took most. Taken: results of encoders that were not computed anew.",
    )


def _recalls(report: Report) -> Section:
    rows = [
        [
            row.model,
            row.browser,
            f"{row.backend} {row.precision}".strip(),
            number(row.n),
            number(row.n_took),
            f"{row.n_took / row.n:.1%}",
        ]
        for row in report.recalls
    ]
    return Section(
        "recalls",
        "Runs that took results",
        ("model", "browser", "backend", "runs", "took results", "share"),
        rows,
        "No run took a result that an earlier one had computed.",
        _cut(report, "recalls"),
    )


def _routing(report: Report) -> Section:
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
        "routing", "Routing table", columns, rows, "No table was published.", _cut(report, "routing")
    )


def _reasons(report: Report) -> Section:
    rows = [[row.model, row.browser, row.reason or "-", number(row.n)] for row in report.reasons]
    columns = ("model", "browser", "reason", "runs")
    return Section(
        "reasons",
        "Where requests went, and why",
        columns,
        rows,
        "No run was measured.",
        _cut(report, "reasons"),
    )


def interval(row: Impact) -> str:
    """The confidence interval of a ratio."""
    return "-" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"


def _impact(report: Report) -> Section:
    rows = [
        [
            row.flag,
            row.model,
            f"{row.browser} {row.backend} {row.precision}".strip(),
            number(row.batch_size),
            f"{number(row.n_on)} / {number(row.n_off)}",
            f"{row.ratio:.3f}",
            interval(row),
            f"{number(row.n_samples)} {'pairs' if row.is_paired else 'groups'}",
            row.verdict,
        ]
        for row in report.impact
    ]
    columns = (
        "flag",
        "model",
        "where",
        "batch",
        "runs on / off",
        "ratio",
        "95 % interval",
        "samples",
        "verdict",
    )
    note = "Ratio: time in the page with the flag over without. A sample is an hour of a session. "
    note += _missing(report)
    empty = "No flag was both on and off."
    return Section(
        "impact", "What optimisations bring", columns, rows, empty, f"{note} {_cut(report, 'impact')}".strip()
    )


def _missing(report: Report) -> str:
    """The rows of the table of acceleration that nothing was compared of."""
    compared = {row.flag for row in report.impact}
    missing = [row for row in ACCELERATIONS.values() if row.name not in compared]
    commands = dict.fromkeys(row.measurement.command for row in missing)
    names = ", ".join(row.name for row in missing)
    return f"Never both on and off: {names}; measured by {', '.join(commands)}." if missing else ""


def _scaling(report: Report) -> Section:
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
    return Section("scaling", "Scaling", columns, rows, "Nothing was scaled.", _cut(report, "scaling"))


def _alerts(report: Report) -> Section:
    rows = [[moment(row.at_s), row.state, row.severity, row.title, row.text] for row in report.alerts]
    columns = ("at (UTC)", "state", "severity", "title", "text")
    return Section("alerts", "Alerts", columns, rows, "No alert.", _cut(report, "alerts"))


def _experiments(report: Report) -> Section:
    rows = [[moment(row.at_s), row.kind, row.model, row.verdict, row.machine] for row in report.experiments]
    columns = ("at (UTC)", "kind", "models", "verdict", "machine")
    results = [
        Result(f"{moment(one.at_s)} {one.kind} {one.model}", one.verdict, table)
        for one in report.experiments
        if (table := one.table)
    ]
    empty, note = "Nothing was compared.", _cut(report, "experiments")
    return Section("experiments", "Comparisons and matrices", columns, rows, empty, note, results)


SECTIONS: Sequence[Callable[[Report], Section]] = (
    _trends,
    _browsers,
    _impact,
    _sharing,
    _recalls,
    _experiments,
    _routing,
    _reasons,
    _connections,
    _alerts,
    _scaling,
    _capabilities,
    _capability_changes,
)
