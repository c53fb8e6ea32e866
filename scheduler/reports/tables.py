"""The facts as sections of text cells, the same for HTML and Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from browser_runtime.contract.acceleration import ACCELERATIONS
from scheduler.reports.event_tables import (
    build_alerts,
    build_capabilities,
    build_capability_changes,
    build_connections,
    build_reasons,
    build_routing,
    build_scaling,
    build_trends,
)
from scheduler.reports.facts import Impact, Report
from scheduler.reports.sections import Result, Section, cut_note, megabytes, moment, number


def build_sections(report: Report) -> list[Section]:
    """Every section below the first screen, in the order a reader needs them."""
    return [build(report) for build in SECTIONS]


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
        cut_note(report, "browsers")
        or "p50 and p95: computing and the way to the page and back. To best: over the model's least p50.",
    )


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
        cut_note(report, "recalls"),
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
    note = f"{note} {cut_note(report, 'impact')}".strip()
    return Section("impact", "What optimisations bring", columns, rows, empty, note)


def _missing(report: Report) -> str:
    """The rows of the table of acceleration that nothing was compared of."""
    compared = {row.flag for row in report.impact}
    missing = [row for row in ACCELERATIONS.values() if row.name not in compared]
    commands = dict.fromkeys(row.measurement.command for row in missing)
    names = ", ".join(row.name for row in missing)
    return f"Never both on and off: {names}; measured by {', '.join(commands)}." if missing else ""


def _experiments(report: Report) -> Section:
    rows = [[moment(row.at_s), row.kind, row.model, row.verdict, row.machine] for row in report.experiments]
    columns = ("at (UTC)", "kind", "models", "verdict", "machine")
    results = [
        Result(f"{moment(one.at_s)} {one.kind} {one.model}", one.verdict, table)
        for one in report.experiments
        if (table := one.table)
    ]
    empty, note = "Nothing was compared.", cut_note(report, "experiments")
    return Section("experiments", "Comparisons and matrices", columns, rows, empty, note, results)


SECTIONS: Sequence[Callable[[Report], Section]] = (
    build_trends,
    _browsers,
    _impact,
    _sharing,
    _recalls,
    _experiments,
    build_routing,
    build_reasons,
    build_connections,
    build_alerts,
    build_scaling,
    build_capabilities,
    build_capability_changes,
)
