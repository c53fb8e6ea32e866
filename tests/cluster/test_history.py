"""Rows from real workers through a real Redis into the file: none twice, none lost, whatever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from browser_runtime.contract.errors import OutOfMemory, PageFault, Unsupported
from scheduler.history.asking import ask, look_up
from scheduler.history.draining import BATCH_ENTRIES, Drain, backlog
from scheduler.history.history import History, HistoryUnavailable
from scheduler.routing.calibration import N_RUNS
from scheduler.settings import SchedulerSettings
from tasks import app, infer
from tasks.keys import UNACKED, UNACKED_INDEX, RedisKeys
from tasks.settings import TaskSettings
from tasks.telemetry import Row, StreamEntry, batch_up, emit, encode
from tests.cluster.conftest import StartWorker, Worker, until, workers
from tests.processes import kill

KEY = RedisKeys("webinfer:").telemetry
VISION = {"model_type": "vision", "model_name": "vit-base", "inputs": np.full((4, 6, 3), 9, np.uint8)}


@pytest.fixture(autouse=True)
def empty_stream(settings: TaskSettings) -> Iterator[None]:
    app.redis.delete(KEY)
    yield
    app.redis.delete(KEY, "webinfer:routing")
    app.routing.refresh()  # other tests' requests must not follow this table


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The history's file, in the environment of the workers too."""
    found = tmp_path / "history.duckdb"
    monkeypatch.setenv("WEBINFER_HISTORY_PATH", str(found))
    return found


@contextmanager
def analytics(folder: Path) -> Iterator[Worker]:
    """An analytics worker."""
    with workers(folder, "scheduler") as start:
        yield start("-P", "solo", "--without-mingle", "--without-gossip", queue="analytics").ready()


def runs(start: int, n: int) -> list[Row]:
    return [("runs", {"task_id": str(number), "model": "m"}) for number in range(start, start + n)]


def drain(path: Path, client: Any = None) -> Any:
    with History(path) as history:
        return Drain(client or app.redis, "webinfer:", history).run(60)


def ids(path: Path) -> list[int]:
    with History(path) as history:
        return sorted(int(row["task_id"]) for row in history.read("SELECT task_id FROM runs"))


def test_rows_are_drained_once_and_leave_the_stream(path: Path) -> None:
    emit(app.redis, runs(0, 2500), app.settings, source="w1")
    assert backlog(app.redis, "webinfer:")["n_entries"] == 3
    assert drain(path).n_rows == 2500
    emit(app.redis, runs(2500, 10), app.settings, source="w1", before=2500)
    assert drain(path).n_rows == 10 and drain(path).n_rows == 0
    assert ids(path) == list(range(2510)) and backlog(app.redis, "webinfer:") == {
        "n_entries": 0,
        "oldest_at": None,
    }


def test_what_was_kept_but_not_trimmed_does_not_come_twice(path: Path) -> None:
    emit(app.redis, runs(0, 50), app.settings)

    class CutOff(redis.Redis):
        def xtrim(self, *args: Any, **named: Any) -> Any:
            raise redis.ConnectionError("cut off between the commit and the trim")

    client = CutOff(connection_pool=app.redis.connection_pool)
    with pytest.raises(redis.ConnectionError):
        drain(path, client)
    assert app.redis.xlen(KEY) == 1
    assert drain(path).n_rows == 0 and ids(path) == list(range(50))


def test_an_entry_that_was_added_twice_counts_once_and_what_was_dropped_is_counted(path: Path) -> None:
    for before, rows in (
        (0, runs(0, 10)),
        (0, runs(0, 10)),
        (10, runs(10, 5)),
        (40, runs(40, 5)),
        (40, runs(40, 5)),
    ):
        app.redis.xadd(KEY, encode(StreamEntry(batch_up(rows), "w1", before)))
        drain(path)
    assert ids(path) == [*range(15), *range(40, 45)]
    with History(path) as history:
        assert [row["n_dropped"] for row in history.query("history_losses")] == [25]


def test_a_full_stream_drops_the_oldest_and_that_is_known(path: Path) -> None:
    emit(app.redis, runs(0, 5), app.settings, source="w1")
    drain(path)
    small = app.settings.model_copy(update={"telemetry_max_entries": 10})
    for number in range(300):
        emit(app.redis, runs(5 + number, 1), small, source="w1", before=5 + number)
    n_left = app.redis.xlen(KEY)
    assert 10 <= n_left < 300
    done = drain(path)
    assert done.n_rows == n_left and done.n_dropped == 300 - n_left


def test_a_stream_of_another_redis_is_read_from_its_start(path: Path) -> None:
    app.redis.xadd(KEY, encode(StreamEntry(batch_up(runs(0, 1)))), id="9999999999999-0")
    drain(path)
    app.redis.delete(KEY)
    app.redis.xadd(KEY, encode(StreamEntry(batch_up(runs(1, 1)))), id="5-0")
    drain(path)
    assert ids(path) == [0, 1]


def test_strange_entries_and_rows_are_passed_over(path: Path) -> None:
    app.redis.xadd(KEY, {b"rows": b"\xc1"})
    app.redis.xadd(KEY, {b"other": b"1"})
    app.redis.xadd(
        KEY,
        encode(
            StreamEntry(batch_up([("runs", {"task_id": "0", "colour": "red"}), ("dreams", {}), *runs(1, 1)]))
        ),
    )
    for wrong in ({"total_ms": "soon"}, {"flags": "{"}, {"at": 1e30}, {"at": "yesterday"}):
        app.redis.xadd(KEY, encode(StreamEntry(batch_up([("runs", {"task_id": "7"} | wrong)]))))
    emit(app.redis, runs(2, 1), app.settings)
    done = drain(path)
    assert (done.n_rows, done.n_broken, done.n_entries) == (3, 6, 8) and ids(path) == [0, 1, 2]


def test_a_killed_analytics_worker_loses_nothing_and_doubles_nothing(path: Path, tmp_path: Path) -> None:
    n, size, n_in_the_midst = 0, 100, 0
    while n_in_the_midst < 2:
        assert n < 60 * BATCH_ENTRIES, "it was never killed in the midst of the stream"
        for number in range(n, n := n + 6 * BATCH_ENTRIES):
            emit(app.redis, runs(number * size, size), app.settings, source="w1", before=number * size)
        before = app.redis.xlen(KEY)
        with analytics(tmp_path) as worker:
            app.send_task("scheduler.history.drain", queue="analytics")
            until(lambda before=before: app.redis.xlen(KEY) < before)
            kill(worker.process)
        n_in_the_midst += app.redis.xlen(KEY) > 0  # where this process had to wait, the other was done
        app.redis.delete(UNACKED, UNACKED_INDEX)  # its task would come again, to whoever is next
    drain(path)
    assert ids(path) == list(range(n * size)) and app.redis.xlen(KEY) == 0


FULL = """
import resource, sys
from scheduler.history.draining import Drain
from scheduler.history.history import History, HistoryUnavailable
from tasks import app
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
with History(sys.argv[1]) as history:
    drain = Drain(app.redis, "webinfer:", history)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        drain.run(60)
    except HistoryUnavailable as error:
        print(error, app.redis.xlen("webinfer:telemetry"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print(drain.run(60).n_rows)
"""


def test_on_a_full_disk_rows_wait_in_the_stream(path: Path) -> None:
    emit(
        app.redis,
        [("runs", row | {"model": f"{n}" * 50}) for n, (_, row) in enumerate(runs(0, 20_000))],
        app.settings,
    )
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "cannot be used" in first and "File too large" in first and first.endswith(" 20")
    assert second == "20000" and ids(path) == list(range(20_000))


def test_a_locked_file_is_waited_for(path: Path, tmp_path: Path) -> None:
    emit(app.redis, runs(0, 5), app.settings)
    with analytics(tmp_path):
        with History(path):
            failed = app.send_task("scheduler.history.drain", queue="analytics")
            with pytest.raises(HistoryUnavailable, match="lock"):
                failed.get(timeout=60)
        assert app.redis.xlen(KEY) == 1
        done = app.send_task("scheduler.history.drain", queue="analytics").get(timeout=60)
        assert done["n_rows"] == 5
        with pytest.raises(HistoryUnavailable, match="lock"):
            History(path)
        assert look_up("history_tables", SchedulerSettings())[0]["n_rows"] == 5
        with pytest.raises(ValueError, match="no query"):
            ask("history_tables; DROP TABLE runs")


def test_what_a_worker_does_becomes_rows(path: Path, start_worker: StartWorker) -> None:
    worker = start_worker().ready()
    reply = infer.delay(**VISION, options={"compute_shaders": True})
    reply.get(timeout=60)
    with pytest.raises(PageFault):
        infer.delay(**VISION, options={"fail": "PageFault"}).get(timeout=60)
    worker.stop()
    drain(path)
    with History(path) as history:
        good, bad = history.read('SELECT * FROM runs ORDER BY "at"')
    assert (
        good["task_id"] == reply.id
        and good["ok"]
        and good["queue"] == "chrome-vision"
        and good["family"] == "vision"
    )
    assert good["routing_reason"] == "chrome is the prior choice for vision" and good["worker"] == worker.name
    assert json.loads(good["flags"])["compute_shaders"] is False, "what was done, not what was asked for"
    assert (bad["ok"], bad["error_code"], bad["browser"]) == (False, "PageFault", "chrome")
    assert good["os"] and len(good["fingerprint"]) == 12


def test_an_inference_goes_on_while_junk_lies_where_its_rows_go(
    path: Path, start_worker: StartWorker
) -> None:
    app.redis.set(KEY, "no stream at all")
    worker = start_worker().ready()
    for _ in range(3):
        assert infer.delay(**VISION).get(timeout=60)["success"]
    until(lambda: f"junk removed from Redis: key={KEY} " in worker.log.read_text())
    worker.stop()
    drain(path)
    with History(path) as history:
        assert history.read("SELECT count(*) AS n FROM runs") == [{"n": 3}]


def test_what_a_browser_cannot_do_is_sent_once_to_the_next_best(start_worker: StartWorker) -> None:
    options = {"fail": "Unsupported", "fail_on": "chrome"}
    edge = start_worker(queue="edge-text")
    start_worker(queue="chrome-vision").ready()
    edge.ready()
    until(lambda: app.redis.exists("webinfer:serving:edge-text") == 1)
    reply = infer.delay(**VISION, options=options).get(timeout=60)
    assert reply["browser"] == "edge" and reply["routing"]["queue"] == "edge-text"
    assert reply["routing"]["reason"] == "chrome could not (Unsupported); the next best that is served"
    after = reply["routing"]["after"]
    assert (
        after["queue"] == "chrome-vision" and after["error"] == "the session is not supported here: as asked"
    )
    with pytest.raises(OutOfMemory):  # it fails there too, and is not sent back
        infer.delay(**VISION, options={"fail": "OutOfMemory"}).get(timeout=60)
    with pytest.raises(Unsupported):  # the request insists
        infer.delay(**VISION, browser="chrome", options=options).get(timeout=60)
    edge.stop()
    with pytest.raises(Unsupported):  # nobody else serves any more
        infer.delay(**VISION, options=options).get(timeout=60)


def test_an_idle_browser_runs_what_was_never_measured_there(
    path: Path, tmp_path: Path, start_worker: StartWorker
) -> None:
    worker = start_worker().ready()
    until(lambda: app.redis.exists("webinfer:serving:chrome-vision") == 1)
    known = {"browser": "chrome", "feature": "model vit-base", "value": "vision"}
    emit(app.redis, [("capabilities", known)], app.settings)
    with analytics(tmp_path):
        app.send_task("scheduler.history.drain", queue="analytics").get(timeout=60)
        sent = app.send_task("scheduler.routing.calibrate", queue="analytics").get(timeout=60)
        assert sent == ["chrome: vit-base"]
        until(lambda: worker.log.read_text().count("Task infer") >= 2 * N_RUNS)
    worker.stop()
    drain(path)
    with History(path) as history:
        rows = history.read("SELECT routing_reason AS why, count(*) AS n FROM runs GROUP BY ALL")
    assert rows == [
        {"why": "calibration: chrome is idle and vit-base was hardly measured there", "n": N_RUNS}
    ]


def test_a_published_table_moves_the_next_requests(
    path: Path, tmp_path: Path, start_worker: StartWorker
) -> None:
    for worker in [start_worker(queue=queue) for queue in ("chrome-vision", "edge-text")]:
        worker.ready()
    for queue in ("chrome-vision", "edge-text"):
        until(lambda queue=queue: app.redis.exists(f"webinfer:serving:{queue}") == 1)
    rows = [
        (
            "runs",
            {
                "family": "vision",
                "model": "vit-base",
                "precision": "fp32",
                "browser": browser,
                "backend": "wasm",
            }
            | {"total_ms": ms, "ok": True, "is_simulation": False},
        )
        for browser, ms in (("chrome", 90.0), ("edge", 10.0))
        for _ in range(20)
    ]
    emit(app.redis, rows, app.settings)
    with analytics(tmp_path):
        app.send_task("scheduler.history.drain", queue="analytics").get(timeout=60)
        done = app.send_task("scheduler.routing.publish", queue="analytics").get(timeout=60)
        assert done["n_keys"] == 2
    app.routing.refresh()
    reply = infer.delay(**VISION).get(timeout=60)
    assert (
        reply["routing"]["queue"] == "edge-text"
        and "edge took 10.0 ms in 20 runs" in reply["routing"]["reason"]
    )
