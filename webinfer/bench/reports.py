"""Measures a report over many runs: gathering its facts and writing its page."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.history.history import History
from scheduler.reports.gathering import gather
from scheduler.reports.writing import write_html

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 30

# Runs of a month, evenly in time: 8 models, 3 browsers, 2 backends, 2 precisions and 3 batch sizes, from
# 24 sessions, each with one of four pairs of flags. So mixed, most runs share their hour of a session with no
# other of their kind, which is the hardest there is for a comparison by hours of sessions.
MAKE = """
INSERT INTO runs BY NAME
SELECT make_timestamp(CAST(($until_s - (1 - i / $n) * $span_s) * 1e6 AS BIGINT)) AS "at",
  'worker-' || (i % 6) AS worker, ['firefox', 'chrome', 'edge'][1 + i % 3] AS browser,
  browser || '-' || ((i // 7) % 4) AS session, browser || ' 150' AS browser_build,
  'adapter' AS adapter, TRUE AS is_software, 'model-' || ((i // 11) % 8) AS model,
  ['fp32', 'q4'][1 + (i // 5) % 2] AS "precision", ['webgpu', 'wasm'][1 + (i // 13) % 2] AS backend,
  [1, 4, 8][1 + (i // 17) % 3] AS batch_size, 0 AS load_ms,
  exp(3 + 0.3 * random()) AS compute_ms, exp(3.5 + 0.3 * random()) AS total_ms,
  300 + 50 * random() AS memory_mb, random() > 0.01 AS ok, FALSE AS is_simulation,
  ['measured', 'prior', 'exploring'][1 + (i // 19) % 3] AS routing_reason,
  ('{"compute_shaders": ' || ((i // 3) % 2 = 0) ||
   ', "precompile_shaders": ' || ((i // 29) % 2 = 0) || '}')::JSON AS flags
FROM range($n) AS numbers(i)
"""


@dataclass(slots=True)
class Span:
    """The wall and processor time of a step."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of all threads of this process: what it would take on one idle core."""


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """One report over `n_runs` runs."""

    n_runs: int
    gather: Span = field(default_factory=Span)
    write: Span = field(default_factory=Span)
    html_bytes: int = 0


def measure_report(n_runs: int, tell: Callable[[str], None]) -> ReportFigures:
    """Measure `webinfer report --html` on a generated history, which is removed afterwards."""
    now_s = time.time()
    with tempfile.TemporaryDirectory(prefix="webinfer-") as folder:
        tell(f"making {n_runs} runs")
        with History(Path(folder) / "history.duckdb") as history:
            history.read(MAKE, {"n": n_runs, "until_s": now_s, "span_s": DAYS * 86_400.0})
        gathering, writing = Span(), Span()
        tell("reporting")
        with History(Path(folder) / "history.duckdb") as history, _timed(gathering):
            report = gather(history.query, now_s, DAYS)
    with _timed(writing):
        page = write_html(report)
    return ReportFigures(report.totals.n_runs, gathering, writing, len(page.encode()))


@contextmanager
def _timed(span: Span) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    span.wall_s, span.cpu_s = time.perf_counter() - wall, time.process_time() - cpu
