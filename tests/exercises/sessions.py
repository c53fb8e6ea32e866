"""One of a worker's two browsers attacked, idle and at work: when all is answered, and when it is replaced.

python -m tests.exercises.sessions [--browser edge ...] [--fault NAME ...] [--kills 8]

With --kills: the descriptors and threads of a worker with one browser, after each of so many kills.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from browser_runtime.contract.session_processes import FOLDER_PREFIX, MARK
from browser_runtime.contract.vocabulary import Browser
from tasks import app, infer
from tests.exercises.chaos.faults import FAULTS
from tests.exercises.chaos.load import asked, judge
from tests.exercises.chaos.target import Target
from tests.exercises.questions import Question, read_questions
from tests.exercises.up import Up
from webinfer.producing import use_broker

# Of the exercise of faults at random, those that hit one browser or what its worker starts.
KINDS = (
    *("crash page", "kill GPU process", "freeze page", "leave page"),
    *("freeze browser", "kill browser", "kill driver", "kill guardian"),
)
N_SESSIONS = 2
N_IDLE, N_BUSY = 8, 48
TIMEOUT_S = 120.0
# A session that is still there then, and answers, needs no other.
STAYS_S = 12.0


@dataclass(frozen=True)
class Attack:
    """What came of one fault, in seconds from it."""

    browser: str
    fault: str
    is_busy: bool
    answered_s: float
    """Until all that was asked before it, or right after it, was answered right."""
    replaced_s: float | None
    """Until two sessions were ready again; None where the one that was hit went on."""
    wrong: tuple[str, ...] = ()


def read_sessions(browser: str) -> dict[str, str]:
    """The state of each session of the worker, by name."""
    replies = app.control.broadcast("browser_status", reply=True, timeout=10, limit=1) or []
    pools = (status["pool"] for reply in replies for status in reply.values())
    return {each["session"]: each["state"] for pool in pools for each in pool["sessions"]}


def are_ready(sessions: dict[str, str], n: int = N_SESSIONS) -> bool:
    return len(sessions) == n and set(sessions.values()) == {"ready"}


def until(holds: Callable[[], bool]) -> float:
    """The time at which it first held."""
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {TIMEOUT_S:.0f} s")
        time.sleep(0.1)
    return time.monotonic()


def send(questions: Sequence[Question], n: int, browser: str) -> list[tuple[Any, Question]]:
    """So many requests at once, the questions in turn."""
    turns = [questions[at % len(questions)] for at in range(n)]
    return [(infer.delay(**asked(each), browser=browser), each) for each in turns]


def warm_up(questions: Sequence[Question], browser: str) -> None:
    """Both sessions are there and hold the model."""
    until(lambda: are_ready(read_sessions(browser)))
    for _ in range(3):
        for result, question in send(questions, N_BUSY, browser):
            assert judge(result, question.mismatch) == ("right", ""), question


def attack(target: Target, browser: str, fault: str, questions: Sequence[Question], is_busy: bool) -> Attack:
    """Do it to the first session, and wait for what was asked and for two sessions."""
    warm_up(questions, browser)
    hit = Path(target.processes(browser)[0].environ()[MARK]).name.removeprefix(FOLDER_PREFIX)
    hit = hit.rpartition("-")[0]
    sent = send(questions, N_BUSY, browser) if is_busy else []
    if is_busy:
        until(lambda: any(result.ready() for result, _ in sent))
    began = time.monotonic()
    FAULTS[fault].do(target, browser, random.Random(0))
    sent += [] if is_busy else send(questions, N_IDLE, browser)
    ends = [judge(result, question.mismatch) for result, question in sent]
    answered_s = time.monotonic() - began
    wrong = tuple(f"{outcome}: {told}" for outcome, told in ends if outcome != "right")

    def is_over() -> bool:
        found = read_sessions(browser)
        goes_on = hit in found and time.monotonic() - began > STAYS_S
        return are_ready(found) and (hit not in found or goes_on)

    ready_s = until(is_over) - began
    replaced_s = None if hit in read_sessions(browser) else ready_s
    return Attack(browser, fault, is_busy, answered_s, replaced_s, wrong)


def count_descriptors(target: Target, browser: str, questions: Sequence[Question], n_kills: int) -> None:
    """Print the worker's descriptors and threads before and after each killed browser."""
    worker = target.worker(browser)
    for number in range(n_kills + 1):
        if number:
            before = read_sessions(browser)
            FAULTS["kill browser"].do(target, browser, random.Random(number))
            until(lambda before=before: read_sessions(browser) != before)  # type: ignore[misc]
        until(lambda: are_ready(read_sessions(browser), 1))
        for result, question in send(questions, N_IDLE, browser):
            assert judge(result, question.mismatch) == ("right", ""), question
        print(f"{browser}: {number} killed, {worker.num_fds()} descriptors, {worker.num_threads()} threads")
        sys.stdout.flush()


def tell(found: Attack) -> None:
    replaced = "goes on" if found.replaced_s is None else f"{found.replaced_s:.1f} s"
    state = "at work" if found.is_busy else "idle"
    wrong = f"  {found.wrong}" if found.wrong else ""
    print(
        f"| {found.browser} | {found.fault} | {state} | {found.answered_s:.1f} s | {replaced} |{wrong}",
        flush=True,
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--browser", action="append", choices=list(map(str, Browser)))
    parser.add_argument("--fault", action="append", choices=KINDS)
    parser.add_argument("--kills", type=int, default=0)
    wish = parser.parse_args(arguments)
    browsers = wish.browser or list(map(str, Browser))
    if len(browsers) > 1:  # a producer keeps to the broker that it used first
        return max(run_alone(browser, wish) for browser in browsers)
    (browser,) = browsers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack is stopped all the same
    # Short: a browser makes a socket in its folder. Open to the user of root's browsers.
    with tempfile.TemporaryDirectory(prefix="se-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "tmp").mkdir(mode=0o711)
        options = ("--browser", browser, "--sessions", str(1 if wish.kills else N_SESSIONS))
        parts = ("--without-scheduler", "--without-monitor")
        simulation = {"WEBINFER_SIMULATION": "never"}
        up = Up(folder, *options, *parts, TMPDIR=str(folder / "tmp"), **simulation)
        try:
            use_broker(up.broker_url)
            target = Target(up, folder, (browser,), parts=("redis",))
            questions = read_questions("tones-whisper")
            if wish.kills:
                count_descriptors(target, browser, questions, wish.kills)
                return 0
            return attack_all(target, browser, wish.fault or KINDS, questions)
        finally:
            up.stop()


def attack_all(target: Target, browser: str, faults: Sequence[str], questions: Sequence[Question]) -> int:
    """Each fault once idle and once at work; 1 where an answer was wrong, else 0."""
    n_wrong = 0
    for fault in faults:
        for is_busy in (False, True):
            try:
                found = attack(target, browser, fault, questions, is_busy)
            except (LookupError, psutil.Error) as error:
                print(f"| {browser} | {fault} | not possible: {error} |", flush=True)
                continue
            tell(found)
            n_wrong += bool(found.wrong)
    return 1 if n_wrong else 0


def run_alone(browser: str, wish: argparse.Namespace) -> int:
    """The exit code of the same exercise on one browser, in a process of its own."""
    faults = [option for fault in wish.fault or [] for option in ("--fault", fault)]
    options = ["--browser", browser, "--kills", str(wish.kills), *faults]
    return subprocess.run(
        [sys.executable, "-m", "tests.exercises.sessions", *options], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
