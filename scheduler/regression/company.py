"""Whether a change is one of a model alone, or of everything on the machine. Pure."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scheduler.regression.findings import DetectedChange
from scheduler.regression.lines import Series
from scheduler.regression.rules import Rules
from scheduler.regression.significance import DETECTED_BY

# A model that kept more than this share of the step to itself did not change alike.
OWN_SHARE = 0.5


def note_company(
    changes: Sequence[DetectedChange], lines: Sequence[Series], rules: Rules
) -> list[DetectedChange]:
    """The changes; those without a known cause have a note where most other models changed alike."""
    return [change if change.cause else _noted(change, lines, rules) for change in changes]


def _noted(change: DetectedChange, lines: Sequence[Series], rules: Rules) -> DetectedChange:
    mine = [line for line in lines if line.series == change.series]
    others: dict[str, list[Series]] = {}
    for line in lines:
        others.setdefault(_model(line.series), []).append(line)
    others.pop(_model(change.series), None)
    known = [
        alike
        for each in others.values()
        if (alike := _changed_alike(change, mine, each, rules.min_after)) is not None
    ]
    if 2 * sum(known) <= len(known):
        return change
    told = f"{sum(known)} of {len(known)} other models changed alike at the same time: look at the machine"
    return replace(change, note="; ".join(filter(None, (change.note, told))))


def _changed_alike(
    change: DetectedChange, mine: Sequence[Series], others: Sequence[Series], least: int
) -> bool | None:
    """Whether the step shrinks beside any line of another model; None where none has the same samples."""
    found = [_own_share(change, one, other, least) for one, other in itertools.product(mine, others)]
    shares = [share for share in found if share is not None]
    return min(shares) <= OWN_SHARE if shares else None


def _own_share(change: DetectedChange, one: Series, other: Series, least: int) -> float | None:
    """The step of the ratio of both lines as a share of the first one's step, of samples that both have."""
    (times_s, values), (other_times_s, other_values) = one.values[change.metric], other.values[change.metric]
    common, at_one, at_other = np.intersect1d(times_s, other_times_s, return_indices=True)
    logs, ratio = np.log(values[at_one]), np.log(values[at_one] / other_values[at_other])
    at = int(np.searchsorted(common, change.changed_at))
    first, end = max(at - change.n_before, 0), at + min(change.n_after, DETECTED_BY)
    if at - first < least or len(common[at:end]) < least:
        return None
    step, own = (float(np.mean(each[at:end]) - np.mean(each[first:at])) for each in (logs, ratio))
    return abs(own / step) if step else None


def _model(series: str) -> str:
    return str(json.loads(series).get("model"))
