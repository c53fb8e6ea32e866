"""The daily report; it runs in the analytics worker, which owns the history."""

from __future__ import annotations

import time

from scheduler.history.owner import history
from scheduler.periods import only_one
from scheduler.settings import SchedulerSettings
from tasks.app import app

LOCK_S = 120.0


@app.task(name="scheduler.reports.write")
def write() -> str | None:
    """Write the daily report. Returns its path; None where another worker writes it."""
    # The writing of pages, in the worker that writes them alone.
    from scheduler.reports.daily import keep_report
    from scheduler.reports.gathering import gather

    settings = SchedulerSettings()
    with only_one("reports", LOCK_S) as is_ours:
        if not is_ours:
            return None
        report = gather(history().query, time.time(), settings.reports_days)
        return str(keep_report(report, settings.reports_dir, settings.reports_kept))
