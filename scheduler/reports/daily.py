"""Daily reports as files: written whole or not at all, the oldest removed."""

from __future__ import annotations

import re
from pathlib import Path

from scheduler.files import write_whole
from scheduler.reports.facts import Report
from scheduler.reports.writing import stamp, write_html

NAME = re.compile(r"webinfer-\d{4}-\d{2}-\d{2}\.html")
LATEST = "latest.html"


def keep_report(report: Report, folder: Path, n_kept: int) -> Path:
    """Write `report`, also under the name LATEST, and remove all but the newest `n_kept`. Raises OSError.

    Returns the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = write_html(report)
    file = folder / f"webinfer-{stamp(report.made_at_s)}.html"
    write_whole(file, page)
    write_whole(folder / LATEST, page)
    for old in sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))[:-n_kept]:
        old.unlink(missing_ok=True)
    return file
