"""`webinfer up` under mixed load while one browser is slowed down: is it found, told, and avoided?

python -m tests.exercises.slowdown [--minutes 10] [--folder DIR]

Prints what happens as it happens; leaves the report and screenshots of it and of Flower in the folder.
"""

from __future__ import annotations

import argparse
import collections
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from tests.exercises.questions import Question, read_questions
from tests.exercises.throttle import Throttle

MODELS_ASKED = ("digits-vit", "sentences-bert", "digits-vit", "tones-whisper")
# A request of each kind in turn: two cores are then about a quarter busy.
PACE_S = 0.4
LOOK_S = 10.0
# The browser that is slowed down: the prior choice for pictures.
VICTIM, VICTIM_MODEL = "chrome", "digits-vit"
# Half the time is the baseline, which has to hold 15 samples.
SETTINGS = {"WEBINFER_REGRESSION_QUICK_SAMPLE_S": "15", "WEBINFER_ROUTING_EXPLORATION": "0.2"}


class Receiver:
    """A web hook that keeps what it is told."""

    def __init__(self, tell: Any) -> None:
        told = self.told = []  # type: list[dict[str, Any]]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                tell(f"ALERT   {told[-1]['title']}: {told[-1]['message'].splitlines()[0]}")
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"json://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Up:
    """`webinfer up` as a process, with everything of its own in one folder."""

    def __init__(self, folder: Path, alert_url: str) -> None:
        self.lines: list[str] = []
        env = (
            os.environ
            | SETTINGS
            | {
                "WEBINFER_ALERT_URLS": alert_url,
                "WEBINFER_HISTORY_PATH": str(folder / "history.duckdb"),
                "WEBINFER_REPORTS_DIR": str(folder / "reports"),
                "XDG_STATE_HOME": str(folder / "state"),
                "COLUMNS": "200",
            }
        )
        self.env = env
        self._process = subprocess.Popen(
            [sys.executable, "-m", "webinfer", "up", "--monitor-port", "0"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._ready.wait(240), "\n".join(self.lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip()))
            if line.startswith("stop:"):
                self._ready.set()

    def find(self, pattern: str) -> str:
        found = re.search(pattern, "\n".join(self.lines))
        assert found, f"{pattern} is not in:\n" + "\n".join(self.lines)
        return found[1]

    def worker_pid(self, browser: str) -> int:
        for process in psutil.Process(self._process.pid).children(recursive=True):
            if f"{browser}@%h" in process.cmdline() and "celery" in process.cmdline():
                return process.pid
        raise AssertionError(f"no worker of {browser}")

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)


class Load:
    """Sends questions one after another, checks every answer, counts who answered."""

    def __init__(self) -> None:
        self.served: collections.Counter[tuple[str, str]] = collections.Counter()
        self.reasons: dict[str, str] = {}
        self.faults: list[str] = []
        self._stopped = threading.Event()
        self._waiting: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        for thread in self._waiting:
            thread.join(60)

    def _run(self) -> None:
        questions = {name: read_questions(name) for name in MODELS_ASKED}
        n = 0
        while not self._stopped.wait(PACE_S):
            name = MODELS_ASKED[n % len(MODELS_ASKED)]
            question = questions[name][n % len(questions[name])]
            thread = threading.Thread(target=self._ask, args=(question,), daemon=True)
            thread.start()
            self._waiting = [*(one for one in self._waiting if one.is_alive()), thread]
            n += 1

    def _ask(self, question: Question) -> None:
        from tasks import infer

        try:
            reply = infer.delay(
                model_type=question.model_type,
                model_name=question.model_name,
                inputs=question.inputs,
                priority_list=["wasm"],
            ).get(timeout=60)
        except Exception as error:
            self.faults.append(f"{question.model_name}: {error!r}")
            return
        self.served[question.model_name, reply["browser"]] += 1
        self.reasons[question.model_name] = str(reply["routing"].get("reason"))
        if fault := question.mismatch(reply):
            self.faults.append(f"{question.model_name} in {reply['browser']}: {fault}")


def run(minutes: float, folder: Path) -> int:
    """Exit code 0 where the slowdown was found, told and avoided, and every answer was right."""
    start = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {line}", flush=True)

    receiver = Receiver(tell)
    up = Up(folder, receiver.url)
    os.environ["WEBINFER_BROKER_URL"] = up.find(r"WEBINFER_BROKER_URL=(\S+)")
    tell("up")
    load, throttle = Load(), Throttle(up.worker_pid(VICTIM))
    shares: dict[str, float] = {}
    try:
        load.start()
        _watch(start, minutes * 30, load, tell)
        shares["before"] = _share(load)
        tell(f"SLOWDOWN of {VICTIM}")
        throttle.start()
        _watch(start, minutes * 60, load, tell)
        shares["after"] = _share(load)
        _write_pictures(up, folder)
    finally:
        throttle.stop()
        load.stop()
        code = up.stop()
        receiver.close()
    return _conclude(load, receiver, shares, code)


def _watch(start: float, until_s: float, load: Load, tell: Any) -> None:
    load.served.clear()
    while time.monotonic() - start < until_s:
        time.sleep(min(LOOK_S, max(until_s - (time.monotonic() - start), 0.1)))
        served = ", ".join(f"{m} {b} {n}" for (m, b), n in sorted(load.served.items()) if m == VICTIM_MODEL)
        tell(f"{served}; {load.reasons.get(VICTIM_MODEL)}; {len(load.faults)} faults")
    # What is said of the second half starts from its own last minute.


def _share(load: Load) -> float:
    mine = {b: n for (m, b), n in load.served.items() if m == VICTIM_MODEL}
    return mine.get(VICTIM, 0) / max(sum(mine.values()), 1)


def _write_pictures(up: Up, folder: Path) -> None:
    from tests.exercises.pages import take_pictures

    report = folder / "report.html"
    command = [sys.executable, "-m", "webinfer", "report", "--html", "--days", "1", "--output", str(report)]
    subprocess.run(
        command, env=up.env | {"WEBINFER_BROKER_URL": os.environ["WEBINFER_BROKER_URL"]}, check=True
    )
    monitor = up.find(r"monitor: +(\S+)").rstrip("/")
    pages = {page: f"{monitor}/{page}" for page in ("browsers", "queues", "performance")}
    take_pictures(pages | {"report": report.as_uri()}, folder)


def _conclude(load: Load, receiver: Receiver, shares: dict[str, float], code: int) -> int:
    regressions = [told for told in receiver.told if "egression" in json.dumps(told)]
    print(f"{sum(load.served.values())} answers since the slowdown, {len(load.faults)} faults in all")
    print(f"{VICTIM}'s share of {VICTIM_MODEL}: {shares['before']:.0%} before, {shares['after']:.0%} after")
    print(f"{len(regressions)} alerts of regressions; the stack ended with code {code}")
    for fault in load.faults[:20]:
        print(fault)
    return int(not regressions or shares["after"] >= shares["before"] or bool(load.faults) or code != 0)


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        description="Slow one browser down under load and see what the stack does."
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("slowdown"))
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    return run(asked.minutes, asked.folder.resolve())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
