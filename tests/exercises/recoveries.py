"""How long a killed worker's request takes to be run again, and Redis's return to the next answer.

python -m tests.exercises.recoveries [--kills 20] [--restarts 5]    workers without browsers, their own Redis
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.processes import kill, stop

QUEUE = "chrome-vision"
ASK: dict[str, Any] = {"model_type": "text", "model_name": "bert", "inputs": "hello", "browser": "chrome"}
# Longer than any recovery: a request still runs when its worker is killed.
LONG_S = 300.0
TIMEOUT_S = 120.0


def until(check: Callable[[], bool]) -> float:
    """The time at which `check()` first held."""
    deadline = time.monotonic() + TIMEOUT_S
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("not within two minutes")
        time.sleep(0.02)
    return time.monotonic()


class Cluster:
    """A Redis and workers in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "r.sock"
        self.url = f"redis+socket://{self.socket}"
        self.n_started = 0

    def start_redis(self) -> subprocess.Popen[bytes]:
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._answers)
        return server

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis(unix_socket_path=str(self.socket)).ping())
        except redis.RedisError:
            return False

    def start_worker(self) -> Worker:
        self.n_started += 1
        name = f"w{self.n_started}"
        command = [sys.executable, "-m", "celery", "-A", "tests.cluster.memory_app", "worker", "-Q", QUEUE]
        command += ["-n", name, "-l", "INFO", "-c", "4"]
        output, runs = self.folder / f"{name}.log", self.folder / f"{name}.runs"
        runs.touch()
        with output.open("wb") as stream:
            environment = os.environ | {"MEMORY_RUNNER_LOG": str(runs)}
            process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        return Worker(process, output, runs)


@dataclass
class Worker:
    """A worker, its log, and the log of what it runs."""

    process: subprocess.Popen[bytes]
    output: Path
    runs: Path

    def ready(self) -> Worker:
        until(lambda: " ready." in self.output.read_text())
        return self

    @property
    def n_runs(self) -> int:
        return self.runs.read_text().count("run bert")


def _runs_more(n: int, *workers: Worker) -> bool:
    return sum(worker.n_runs for worker in workers) > n


def kill_workers(cluster: Cluster, n: int) -> list[float]:
    """Seconds from each kill of one of two workers until its request runs again."""
    from tasks import app, infer

    took: list[float] = []
    pair = [cluster.start_worker().ready(), cluster.start_worker().ready()]
    for number in range(n):
        before = [worker.n_runs for worker in pair]
        result = infer.delay(**ASK, options={"sleep_s": LONG_S})
        until(lambda pair=pair, before=before: [worker.n_runs for worker in pair] != before)  # type: ignore[misc]
        holder, other = sorted(pair, key=lambda worker: worker.n_runs - before[pair.index(worker)])[::-1]
        time.sleep(number / n)  # each kill at another point between two renewals
        n_before, killed_at = other.n_runs, time.monotonic()
        kill(holder.process)
        successor = cluster.start_worker()  # it may be the one that takes the request over
        runs_again = partial(_runs_more, n_before, other, successor)
        took.append(until(runs_again) - killed_at)
        print(f"kill {number + 1}: {took[-1]:.1f} s", flush=True)
        app.control.revoke(result.id, terminate=True)
        pair = [other, successor.ready()]
    for worker in pair:
        kill(worker.process)
    app.redis.flushall()
    return took


def restart_redis(cluster: Cluster, server: subprocess.Popen[bytes], n: int) -> list[float]:
    """Seconds from Redis's return until the next request is answered."""
    from tasks import infer

    took: list[float] = []
    worker = cluster.start_worker().ready()
    for _ in range(n):
        infer.delay(**ASK).get(timeout=TIMEOUT_S)
        kill(server)
        time.sleep(8.0)  # long enough for a patient client's pauses to have grown
        server = cluster.start_redis()
        back_at = time.monotonic()
        infer.delay(**ASK).get(timeout=TIMEOUT_S)
        took.append(time.monotonic() - back_at)
        print(f"restart: {took[-1]:.1f} s", flush=True)
    stop(worker.process)
    stop(server)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder:
        cluster = Cluster(Path(folder))
        os.environ |= {"WEBINFER_BROKER_URL": cluster.url, "WEBINFER_WAIT_FOR_WORKERS": "true"}
        from browser_runtime.contract.options import COMMON_OPTIONS
        from tests.cluster.steering import STEERING

        COMMON_OPTIONS.update(STEERING)
        server = cluster.start_redis()
        tell("killed worker to re-run", kill_workers(cluster, asked.kills))
        tell("Redis back to first answer", restart_redis(cluster, server, asked.restarts))


def tell(what: str, took: list[float]) -> None:
    if took:
        p95 = sorted(took)[max(round(0.95 * len(took)) - 1, 0)]
        print(f"{what}: median {statistics.median(took):.1f} s, p95 {p95:.1f} s, n={len(took)}")


if __name__ == "__main__":
    main()
