"""`webinfer up --autoscale` under bursts: workers come and go, answers are right, the arrivals are kept.

python -m tests.exercises.bursts [--minutes 12] [--seed 5] [--folder DIR]

Quiet and busy times alternate by chance, as in the pattern `bursts` of `webinfer bench autoscaling`.
Leaves `arrivals.txt` in the folder, a recording for `webinfer bench autoscaling --recorded`.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from celery.result import AsyncResult

from tests.exercises.questions import Question, read_questions
from tests.exercises.up import ORDERLY, Up
from webinfer.bench.autoscaling.patterns import QUIET_END_S, Bursts
from webinfer.bench.samples import summarise

# Speech takes a tenth of a second and more: one worker is soon too few.
MODEL, BROWSER = "tones-whisper", "chrome"
QUEUE = "chrome-vision"
LOOK_S = 1.0
TOLD_EVERY = 10
ANSWER_TIMEOUT_S = 300


class Load:
    """Sends as planned, from one thread; another takes the answers, in the order of sending."""

    def __init__(self, times_s: list[float]) -> None:
        self.latencies_ms: list[float] = []
        self.faults: list[str] = []
        self._times_s = times_s
        self._sent: queue.SimpleQueue[tuple[Question, AsyncResult[Any]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._take)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        from tasks import infer

        questions, start = read_questions(MODEL), time.monotonic()
        for n, at in enumerate(self._times_s):
            time.sleep(max(start + at - time.monotonic(), 0.0))
            question = questions[n % len(questions)]
            asked = {"model_type": question.model_type, "model_name": MODEL, "inputs": question.inputs}
            result = infer.delay(**asked, priority_list=["wasm"], browser=BROWSER)
            self._sent.put((question, result))
        self._sent.put(None)

    def _take(self) -> None:
        while (sent := self._sent.get()) is not None:
            question, result = sent
            try:
                reply = result.get(timeout=ANSWER_TIMEOUT_S)
            except Exception as error:
                self.faults.append(repr(error))
                continue
            times = reply["timings"]
            self.latencies_ms.append(times["broker_ms"] + times["total_ms"])
            if fault := question.mismatch(reply):
                self.faults.append(fault)

    def p95_s(self) -> float:
        """Latency, waiting in Redis included, that 95 % of requests keep."""
        return summarise(self.latencies_ms).p95_ms / 1000


def run(minutes: float, seed: int, folder: Path) -> int:
    """Exit code 0 where every answer was right and workers came and went."""
    times_s = list(Bursts().draw(minutes * 60, seed))
    up = Up(folder, "--autoscale", "--browser", BROWSER, "--max-workers", "4")
    os.environ["WEBINFER_BROKER_URL"] = up.broker_url
    load, counts = Load(times_s), []  # type: Load, list[int]
    try:
        load.start()
        _watch(up, load, minutes * 60 + QUIET_END_S, counts)
        load.join()
    finally:
        code = up.stop()
    return _conclude(up, load, counts, folder, code)


def _watch(up: Up, load: Load, seconds: float, counts: list[int]) -> None:
    """Count the workers each second."""
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        counts.append(len(up.worker_pids(BROWSER)))
        if len(counts) % TOLD_EVERY == 0:
            told = f"{len(load.latencies_ms)} answered, {len(load.faults)} faults"
            print(f"{now:5.0f} s  {counts[-1]} workers; {told}", flush=True)
        time.sleep(max(len(counts) * LOOK_S - now, 0.0))


def _conclude(up: Up, load: Load, counts: list[int], folder: Path, code: int) -> int:
    print("\n".join(line for line in up.lines if line.startswith(f"worker {QUEUE}")))
    minutes = sum(counts) * LOOK_S / 60
    print(f"{len(load.latencies_ms)} answers, {len(load.faults)} faults, p95 {load.p95_s():.2f} s")
    print(f"{minutes:.1f} worker minutes in {len(counts) * LOOK_S / 60:.1f} minutes; code {code}")
    for fault in load.faults[:10]:
        print(fault)
    _keep_arrivals(up, folder)
    return int(bool(load.faults) or max(counts) < 2 or counts[-1] > 1 or code not in ORDERLY)


def _keep_arrivals(up: Up, folder: Path) -> None:
    """What the history says of the arrivals, as a recording."""
    from scheduler.history.history import History
    from webinfer.bench.autoscaling.recordings import recording_of, write_recording

    with History(up.env["WEBINFER_HISTORY_PATH"]) as history:
        arrivals = history.query("scaling_arrivals", queue=QUEUE, since_s=0)
        starts = history.query("scaling_starts", queue=QUEUE, since_s=0)
    write_recording(recording_of(arrivals, starts, QUEUE), folder / "arrivals.txt")
    command = [sys.executable, "-m", "webinfer", "bench", "autoscaling", "--history", QUEUE]
    subprocess.run(command, env=up.env, check=True)


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Bursts of requests, and workers that come and go.")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("bursts"))
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    return run(asked.minutes, asked.seed, asked.folder.resolve())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
