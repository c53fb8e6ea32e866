"""The task of regression analysis; runs in the analytics worker."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from scheduler.history.owner import history
from scheduler.regression.findings import Analysis, rows, unreported
from scheduler.regression.metrics import METRICS
from scheduler.regression.rules import Rules
from scheduler.settings import SchedulerSettings
from tasks.app import app
from tasks.keys import RedisKeys

if TYPE_CHECKING:
    from scheduler.history.history import History

# A month of hourly samples; four hours of samples every 20 s.
N_SAMPLES = 720


@app.task(name="scheduler.regression.analyse")
def find_changes() -> dict[str, int]:
    """Store new changes and the state of each series; returns their numbers.

    Quick samples show a slowdown within minutes; slow ones show smaller or gradual changes. A spacing without
    a new sample since the last time is skipped.
    """
    settings, key = SchedulerSettings(), RedisKeys(app.settings.redis_prefix).regression
    counts = {"series": 0, "regression": 0, "improvement": 0}
    for sample_s in (settings.regression_quick_sample_s, settings.regression_slow_sample_s):
        until_s = time.time() // sample_s * sample_s
        last = app.redis.hget(key, str(sample_s))
        if last and json.loads(last)["until_s"] == until_s:
            continue
        found = analyse_history(history(), settings, sample_s, until_s)
        states = [asdict(state) for state in found.states]
        app.redis.hset(key, str(sample_s), json.dumps({"until_s": until_s, "series": states}))
        counts["series"] += len(states)
        for change in found.changes:
            counts[change.direction] += 1
    return counts


def analyse_history(known: History, settings: SchedulerSettings, sample_s: float, until_s: float) -> Analysis:
    """The analysis of all series until `until_s`, with only the new changes, which are stored in `known`.

    They are appended directly, not through the stream, so that the next analysis knows them.
    """
    # numpy and scipy, in the worker that analyses alone.
    from scheduler.regression.analysing import analyse
    from scheduler.regression.lines import read_lines

    since_s = until_s - N_SAMPLES * sample_s
    span = {"since_s": since_s, "until_s": until_s, "sample_s": sample_s}
    samples = known.query("regression_samples", **span, min_runs=settings.regression_min_runs)
    rules = Rules(min_effect=settings.regression_min_effect)
    found = analyse(read_lines(samples, METRICS), sample_s, rules)
    fresh = unreported(found.changes, known.query("regression_known", since_s=since_s))
    known.append(rows(fresh))
    return Analysis(fresh, found.states)
