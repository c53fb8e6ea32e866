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
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.exercises.questions import Question, read_questions
from tests.exercises.throttle import Throttle
from tests.exercises.up import ORDERLY, Up

# Whoever serves models lets the router choose; whoever measures browsers names one. Half the pictures do.
PLAN = (
    ("digits-vit", None),
    ("digits-vit", "chrome"),
    ("sentences-bert", None),
    ("digits-vit", None),
    ("digits-vit", "edge"),
    ("tones-whisper", None),
    ("digits-vit", None),
    ("digits-vit", "firefox"),
)
PACE_S = 0.25
LOOK_S = 10.0
# The browser that answers most of this model's free requests is slowed down.
WATCHED = "digits-vit"
# The baseline has to hold 15 samples, and 5 must follow the slowdown.
BASELINE_SHARE = 0.6
# What may still go to a browser that the router has left: it looks now and then whether it got better.
MOVED_SHARE = 0.3
SETTINGS = {"WEBINFER_REGRESSION_QUICK_SAMPLE_S": "12"}


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


class Load:
    """Sends questions one after another, checks every answer, counts who answered."""

    def __init__(self) -> None:
        self.served: collections.Counter[str] = collections.Counter()
        """The watched model's free requests by browser, since the last look."""
        self.reason = ""
        self.n_right = 0
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
        questions = {name: read_questions(name) for name, _ in PLAN}
        n = 0
        while not self._stopped.wait(PACE_S):
            name, browser = PLAN[n % len(PLAN)]
            question = questions[name][n % len(questions[name])]
            thread = threading.Thread(target=self._ask, args=(question, browser), daemon=True)
            thread.start()
            self._waiting = [*(one for one in self._waiting if one.is_alive()), thread]
            n += 1

    def _ask(self, question: Question, browser: str | None) -> None:
        from tasks import infer

        try:
            reply = infer.delay(
                model_type=question.model_type,
                model_name=question.model_name,
                inputs=question.inputs,
                priority_list=["wasm"],
                browser=browser,
            ).get(timeout=60)
        except Exception as error:
            self.faults.append(f"{question.model_name}: {error!r}")
            return
        self.n_right += not (fault := question.mismatch(reply))
        if browser is None and question.model_name == WATCHED:
            self.served[reply["browser"]] += 1
            self.reason = str(reply["routing"].get("reason"))
        if fault:
            self.faults.append(f"{question.model_name} in {reply['browser']}: {fault}")


def run(minutes: float, folder: Path) -> int:
    """Exit code 0 where the slowdown was found, told and avoided, and every answer was right."""
    start = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {line}", flush=True)

    receiver = Receiver(tell)
    up = Up(folder, WEBINFER_ALERT_URLS=receiver.url, **SETTINGS)
    os.environ["WEBINFER_BROKER_URL"] = up.broker_url
    tell("up")
    load, victim, share = Load(), "", 0.0
    throttle: Throttle | None = None
    try:
        load.start()
        victim, _ = _watch(start, minutes * 60 * BASELINE_SHARE, load, tell)
        tell(f"SLOWDOWN of {victim}")
        throttle = Throttle(up.worker_pid(victim))
        throttle.start()
        _, served = _watch(start, minutes * 60, load, tell)
        share = served[victim] / max(served.total(), 1)
        _write_pictures(up, folder)
    finally:
        if throttle is not None:
            throttle.stop()
        load.stop()
        code = up.stop()
        receiver.close()
    return _conclude(load, receiver, f"{victim} answered {share:.0%} of {WATCHED} in the end", share, code)


def _watch(start: float, until_s: float, load: Load, tell: Any) -> tuple[str, collections.Counter[str]]:
    """Tell who answers, look by look; in the end the most asked browser of the last look, and all of it."""
    served: collections.Counter[str] = collections.Counter()
    while time.monotonic() - start < until_s:
        load.served = collections.Counter()
        time.sleep(LOOK_S)
        served = load.served
        answered = ", ".join(f"{browser} {n}" for browser, n in served.most_common())
        tell(f"{WATCHED}: {answered}; {load.reason}; {len(load.faults)} faults")
    return served.most_common(1)[0][0], served


def _write_pictures(up: Up, folder: Path) -> None:
    from tests.exercises.pages import take_pictures

    report = folder / "report.html"
    command = [sys.executable, "-m", "webinfer", "report", "--html", "--days", "1", "--output", str(report)]
    subprocess.run(
        command, env=up.env | {"WEBINFER_BROKER_URL": os.environ["WEBINFER_BROKER_URL"]}, check=True
    )
    monitor = up.find(r"monitor: +(\S+)").rstrip("/")
    pages = {page: f"{monitor}/{page}" for page in ("browsers", "queues", "performance?hours=1")}
    take_pictures(
        {page.split("?")[0]: address for page, address in pages.items()} | {"report": report.as_uri()}, folder
    )


def _conclude(load: Load, receiver: Receiver, told: str, share: float, code: int) -> int:
    regressions = [alert for alert in receiver.told if re.search("(latency|throughput) [+-]", alert["title"])]
    print(f"{load.n_right} right answers, {len(load.faults)} faults; {told}")
    print(f"{len(regressions)} notices of regressions; the stack ended with code {code}")
    for fault in load.faults[:20]:
        print(fault)
    return int(not regressions or share > MOVED_SHARE or bool(load.faults) or code not in ORDERLY)


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
