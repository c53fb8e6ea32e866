"""Measures the history: rows from Redis into the file, a query over a million runs, the router."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.remedies import install_packages
from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.history.draining import Drain
from scheduler.history.history import History
from tasks.broker.redis_clients import connect
from tasks.keys import RedisKeys
from tasks.routing.router import QUEUE_OF, choose_route, keys_of
from tasks.routing.routing_table import RoutingCopy, fetch_from
from tasks.settings import TaskSettings
from tasks.telemetry import MAX_ROWS, Row, emit
from webinfer.bench.samples import Summary, summarise, time_ms
from webinfer.stack.processes import ManagedProcess

Tell = Callable[[str], None]

N_DRAINED = 200_000
N_ASKED = 1_000_000
ROUNDS = 20
ROUTES = 20_000
# Rows of one append while the file is filled.
FILL = 100_000
SHARES = (0.95, 0.03, 0.02)
REDIS_TIMEOUT_S = 15.0

# A report's typical question: a moving median and a trend of each series, over every run.
WINDOWED = """
SELECT model, browser, day, p50_ms, avg(p50_ms) OVER (PARTITION BY model, browser ORDER BY day
  ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week_ms
FROM (SELECT model, browser, date_trunc('day', r.at) AS day, median(total_ms) AS p50_ms
      FROM runs r WHERE ok GROUP BY ALL)
ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class HistoryFigures:
    """All times on this machine, in the units of their names."""

    n_rows: int
    emit_rows_per_s: float
    drain_rows_per_s: float
    """End to end: from the stream until the rows are committed and the stream is trimmed."""
    drain_rows_per_cpu_s: float
    """The same by the processor time it took: what a machine that has nothing else to do comes near to."""
    file_bytes_per_row: float
    n_asked: int
    query: Summary
    router_prior_us: float
    """One route by the guide's table alone."""
    router_table_us: float
    """One route by a measured table, the cached copy's upkeep included."""


def measure_history(tell: Tell) -> HistoryFigures:
    """Measure with a private Redis and a temporary file; both are removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="webinfer-bench-") as folder, _redis(Path(folder)) as client:
        settings = TaskSettings(telemetry_max_entries=10 * N_DRAINED)
        path = Path(folder) / "history.duckdb"
        with History(path) as history:
            emit_s, drain_s, cpu_s = _drain(client, settings, history, tell)
            query = _ask(history, tell)
        size = path.stat().st_size / N_ASKED
        prior_us, table_us = _route(client, settings, tell)
    return HistoryFigures(
        N_DRAINED,
        N_DRAINED / emit_s,
        N_DRAINED / drain_s,
        N_DRAINED / cpu_s,
        size,
        N_ASKED,
        query,
        prior_us,
        table_us,
    )


@contextmanager
def _redis(folder: Path) -> Iterator[redis.Redis]:
    """A private Redis configured like that of the local stack."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SetupError("redis-server", f"install it with: {install_packages('redis')}")
    socket = folder / "r.sock"
    argv = [binary, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    part = ManagedProcess(
        "redis",
        [*argv, "--save", "", "--appendonly", "yes"],
        os.environ,
        folder / "redis.log",
        "(?i)ready to accept connections",
    )
    try:
        part.start()
        part.wait_ready(REDIS_TIMEOUT_S)
        with connect(f"redis+socket://{socket}") as client:
            yield client
    finally:
        part.stop()


def _drain(
    client: redis.Redis, settings: TaskSettings, history: History, tell: Tell
) -> tuple[float, float, float]:
    """Seconds to emit and to drain N_DRAINED runs of busy workers, and the drain's processor time."""
    rows = list(made_up_runs(N_DRAINED, seed=1))
    tell("emitting rows")
    start = time.perf_counter()
    for first in range(0, N_DRAINED, MAX_ROWS):
        emit(client, rows[first : first + MAX_ROWS], settings, source="bench", before=first)
    emitted = time.perf_counter()
    del rows
    tell("draining them")
    begun, cpu = time.perf_counter(), time.process_time()
    done = Drain(client, settings.redis_prefix, history).run(600)
    drain_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    if done.n_rows != N_DRAINED:
        raise RuntimeError(f"{done.n_rows} of {N_DRAINED} rows were drained")
    return emitted - start, drain_s, cpu_s


def _ask(history: History, tell: Tell) -> Summary:
    """Time a windowed query over N_ASKED runs."""
    tell("filling the history")
    for seed in range(2, 2 + (N_ASKED - N_DRAINED) // FILL):
        history.append(made_up_runs(FILL, seed))
    tell("asking")
    return summarise([time_ms(lambda: history.read(WINDOWED))[0] for _ in range(ROUNDS)])


def _route(client: redis.Redis, settings: TaskSettings, tell: Tell) -> tuple[float, float]:
    """Microseconds of one route by the prior and by a published table of 500 models."""
    tell("routing")
    names = [f"model-{number}" for number in range(500)]
    rows = [
        {"browser": str(b), "share": share, "reason": "measured"}
        for b, share in zip(Browser, SHARES, strict=True)
    ]
    entries = {keys_of(Family.VISION, name, "fp32")[0]: rows for name in names}
    key = RedisKeys(settings.redis_prefix).routing
    client.set(key, json.dumps({"at": 0, "entries": entries}))
    routing = RoutingCopy(fetch_from(lambda: settings))
    routing.get()
    works = {
        "prior": lambda name: choose_route(keys_of(Family.VISION, name, "fp32"), draw=random.random()),  # noqa: S311
        "table": lambda name: choose_route(
            keys_of(Family.VISION, name, "fp32"),
            table=routing.get().table,
            draw=random.random(),  # noqa: S311
        ),
    }
    times = {word: [_per_call_us(work, names) for _ in range(ROUNDS)] for word, work in works.items()}
    return statistics.median(times["prior"]), statistics.median(times["table"])


def _per_call_us(work: Callable[[str], object], names: list[str]) -> float:
    start = time.perf_counter()
    for number in range(ROUTES):
        work(names[number % len(names)])
    return (time.perf_counter() - start) * 1e6 / ROUTES


def made_up_runs(n: int, seed: int) -> Iterator[Row]:
    """Runs like those of busy workers, over 30 days: as wide as real rows, with times that vary."""
    chance = random.Random(seed)  # noqa: S311 - made-up figures
    now = time.time()
    for number in range(n):
        browser = chance.choice(["chrome", "edge", "firefox"])
        compute_ms = chance.lognormvariate(3, 0.3)
        yield (
            "runs",
            {
                "at": now - 30 * 86400 * chance.random(),
                "task_id": f"{chance.getrandbits(128):032x}",
                "worker": f"{browser}@bench",
                "session": f"{browser}-1",
                "queue": QUEUE_OF[Browser(browser)],
                "browser": browser,
                "browser_build": f"{browser} 150.0",
                "driver": "150.0",
                "os": "Linux 6.1",
                "adapter": "google swiftshader",
                "is_software": True,
                "webinfer_version": "0.1.0",
                "family": "vision",
                "model": f"model-{number % 20}",
                "revision": "0123456789abcdef",
                "precision": "fp32",
                "backend": chance.choice(["webgpu", "wasm"]),
                "kernel": "onnxruntime-web 1.30",
                "batch_size": chance.choice([1, 1, 1, 4, 8]),
                "queue_ms": chance.expovariate(0.1),
                "load_ms": 0.0,
                "compile_ms": 0.0,
                "warmup_ms": 0.0,
                "compute_ms": compute_ms,
                "readback_ms": 0.4,
                "bridge_ms": 1.2,
                "total_ms": compute_ms + 3,
                "memory_mb": 512.0,
                "ok": chance.random() > 0.01,
                "error_code": None,
                "is_simulation": False,
                "routing_reason": "chrome is the prior choice for vision",
                "flags": '{"compute_shaders": true, "precompile_shaders": false}',
            },
        )
