"""Finds changes in series of samples: when, by how much, and their cause if known. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scheduler.regression.company import note_company
from scheduler.regression.findings import Analysis, DetectedChange, FindingState
from scheduler.regression.lines import Series, name_cause, predecessor
from scheduler.regression.metrics import METRICS, Metric
from scheduler.regression.rules import Rules
from scheduler.regression.scanning import Scan, scan
from scheduler.regression.shapes import N_SWITCHES, count_switches, find_modes
from scheduler.regression.significance import bounds, compare, pull_in, smallest_visible

if TYPE_CHECKING:
    from scheduler.regression.energy import Floats


def analyse(lines: Sequence[Series], sample_s: float, rules: Rules | None = None) -> Analysis:
    """The changes within each line, and from a line to its successor in the same series."""
    rules = (rules or Rules()).at(sample_s)
    found = Analysis([], [])
    for metric in METRICS.values():
        _analyse_metric(lines, metric, sample_s, rules, found)
    return Analysis(note_company(found.changes, lines, rules), found.states)


def _analyse_metric(
    lines: Sequence[Series], metric: Metric, sample_s: float, rules: Rules, found: Analysis
) -> None:
    scans = scan([np.log(line.values[metric.name][1]) for line in lines], rules)
    scan_of = {id(line): scanned for line, scanned in zip(lines, scans, strict=True)}
    by_series: dict[str, list[Series]] = {}
    for line in lines:
        by_series.setdefault(line.series, []).append(line)
    for line, scanned in zip(lines, scans, strict=True):
        analysis = _MetricAnalysis(line, metric, sample_s, rules)
        found.changes.extend(analysis.changes(scanned))
        before = predecessor(line, by_series[line.series], metric.name, rules.min_before)
        if before and (change := analysis.change_since(before, scan_of[id(before)], scanned)):
            found.changes.append(change)
        found.states.append(analysis.state(scanned))


def visible_change(values: Floats, rules: Rules) -> float | None:
    """The smallest visible change of a level, as a ratio minus 1; None if none would be visible.

    `values` are the level's samples so far.
    """
    if len(values) < rules.min_before:
        return None
    logs = np.log(values)
    tame = np.clip(logs, *bounds(logs, math.log1p(rules.min_effect)))
    step = smallest_visible(tame, rules.max_p)
    return max(step, rules.min_effect) if math.isfinite(step) else None


class _MetricAnalysis:
    """The analysis of one metric of one line."""

    def __init__(self, line: Series, metric: Metric, sample_s: float, rules: Rules) -> None:
        self._line, self._metric, self._sample_s, self._rules = line, metric, sample_s, rules
        self._times_s, self._values = line.values[metric.name]

    def changes(self, scanned: Scan) -> list[DetectedChange]:
        """The changes within the line, in which the environment did not change."""
        counts = count_switches(scanned.steps)
        ends = [*(step.at for step in scanned.steps), len(self._values)][1:]
        return [
            self._change(
                step.at,
                self._values[step.begin : step.at],
                self._values[step.at : end],
                step.found.p,
                note=f"bimodal: switch {count} between two levels" if count >= N_SWITCHES else "",
            )
            for step, end, count in zip(scanned.steps, ends, counts, strict=True)
        ]

    def change_since(self, before: Series, scanned_before: Scan, scanned: Scan) -> DetectedChange | None:
        """The change from the old environment's last level to this one's first, if there is one."""
        end = scanned.steps[0].at if scanned.steps else len(self._values)
        left = before.before(self._metric.name, self._times_s[0])
        left = left[max((step.at for step in scanned_before.steps if step.at < len(left)), default=0) :]
        left = left[-self._rules.window :]
        right = self._values[: min(end, self._rules.window)]
        if len(right) < self._rules.min_after or len(left) < self._rules.min_before:
            return None
        least_step = math.log1p(self._rules.min_effect)
        result = compare(*pull_in(np.log(left), np.log(right), least_step, self._rules.min_after))
        if result.p >= self._rules.max_p or abs(result.difference) < least_step:
            return None
        return self._change(0, left, right, result.p, cause=name_cause(before, self._line))

    def state(self, scanned: Scan) -> FindingState:
        """The present state of the line."""
        values = self._values[scanned.since :]
        n, name = len(self._values), self._metric.name
        level = float(np.median(values)) if n else None
        if len(values) < self._rules.min_before:
            return FindingState(self._line.series, name, "short", n, level, None, self._sample_s)
        visible = visible_change(values, self._rules)
        shape = self._shape(values, visible, scanned)
        return FindingState(self._line.series, name, shape, n, level, visible, self._sample_s)

    def _shape(self, values: Floats, visible: float | None, scanned: Scan) -> str:
        switching = max(count_switches(scanned.steps), default=0) >= N_SWITCHES
        if switching or find_modes(np.log(values), math.log1p(self._rules.min_effect)):
            return "bimodal"
        return "unstable" if visible is None or visible > abs(self._metric.medium) else "steady"

    def _change(
        self, at: int, left: Floats, right: Floats, p: float, *, cause: str = "", note: str = ""
    ) -> DetectedChange:
        before, after = float(np.median(left)), float(np.median(right))
        effect = after / before - 1
        direction = self._metric.direction(effect)
        severity = self._metric.severity(effect)
        return DetectedChange(
            self._line.series,
            self._metric.name,
            float(self._times_s[at]),
            before,
            after,
            effect,
            p,
            # Further jumps between the same two levels are of low severity.
            "low" if note and severity != "none" else severity,
            direction,
            visible_change(left, self._rules),
            cause,
            note,
            self._sample_s,
            len(left),
            len(right),
        )
