"""The first screen of a report: which browser for which model, and what got worse. Pure."""

from __future__ import annotations

from scheduler.reports.facts import Report
from scheduler.reports.sections import Section, moment, number, percent

# Rows of a table on the first screen, which is a phone's too.
MAX_ROWS = 8
# Of regressions, the worst first (scheduler/regression/metrics.py).
SEVERITIES = ("high", "medium", "low")


def build_glance(report: Report) -> list[Section]:
    """The sections of the first screen."""
    return [_choice(report), _worse(report)]


def _and_more(n: int, where: str) -> str:
    """The note of a list that was cut; empty where it was not."""
    return f"And {n:,} more: see {where}." if n > 0 else ""


def _choice(report: Report) -> Section:
    rows = [
        [
            f"{row.model} ({row.precision})" if row.precision else row.model,
            f"{row.browser}, {row.backend}",
            f"{row.expected_ms:.3g} ms",
            f"{row.next_browser}, {row.next_ratio:.2f} times as long"
            if row.next_ratio
            else "no other was measured",
            f"{row.chance:.0%}",
        ]
        for row in report.recommendations[:MAX_ROWS]
    ]
    left = len(report.recommendations) - len(rows)
    return Section(
        "choice",
        "Which browser for which model",
        ("model", "best", "a run takes", "next best", "certainty"),
        rows,
        "Nothing was measured yet.",
        _and_more(left, "Browsers compared"),
    )


def _worse(report: Report) -> Section:
    changes = [change for change in report.changes if change.direction == "regression"]
    changes.sort(key=lambda change: (_rank(change.severity), -change.changed_at_s))
    losses = [change for change in report.capability_changes if change.is_loss]
    rows = [
        [
            moment(change.changed_at_s),
            f"{change.metric} of {change.place}",
            percent(change),
            f"{number(change.before)} → {number(change.after)}",
            change.severity,
        ]
        for change in changes
    ]
    rows += [
        [
            moment(loss.at_s),
            f"{loss.feature} in {loss.browser}",
            "lost",
            f"{loss.value_before} → {loss.value}",
            "-",
        ]
        for loss in losses
    ]
    return Section(
        "worse",
        "What got worse",
        ("since (UTC)", "what", "by", "from, to", "severity"),
        rows[:MAX_ROWS],
        "Nothing that was measured got worse, and no browser lost a backend.",
        _and_more(len(rows) - MAX_ROWS, "Trends and changes"),
    )


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
