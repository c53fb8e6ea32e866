"""The exercise: one fault after another, each followed by a look whether all answers again and is whole."""

from __future__ import annotations

import os
import random
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from browser_runtime.contract.errors import Busy, InferenceError
from browser_runtime.contract.vocabulary import Browser, Precision
from browser_runtime.launching.binaries import find_installation
from browser_runtime.models.store import ModelStore
from browser_runtime.settings import RuntimeSettings
from tasks import infer
from tests.exercises.chaos.faults import FAULTS, GUILTY_MODEL
from tests.exercises.chaos.load import AWAY, EXPECTED, LOST_S, PROMPTS, History, Load, ask, stream
from tests.exercises.chaos.target import Target
from tests.exercises.questions import read_questions
from tests.exercises.up import ORDERLY, Up
from tests.stand_ins import faulty_models
from webinfer.producing import use_broker

CLOCK = Path(__file__).with_name("clock")
# Between a recovery and the next fault.
PAUSE_S = (0.5, 3.0)
LOOK_S = 0.2
# The share of faults that come right after another.
TWO_AT_ONCE = 0.25

Tell = Callable[[str, float], None]
"""Called with what goes on and the seconds since the start."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A fault, or several at once, and what came after: times in seconds."""

    fault: str
    """Names of faults and browsers."""
    at_s: float
    answers_s: float
    """Until every browser answered right what was asked after it."""
    whole_s: float
    """Until every part was there again and at work."""
    problem: str = ""


@dataclass(slots=True)
class Result:
    """What a run came to."""

    seed: int
    outcomes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    n_twice: int = 0
    """Requests that were computed more than once, each with one answer."""
    guilty: dict[str, int] = field(default_factory=dict)
    """How the requests that compute for ever ended."""
    flaws: list[str] = field(default_factory=list)
    """What was not answered right, and what did not end in order."""
    recoveries: list[Recovery] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether all was answered right, and every part was back in its time."""
        only_right = bool(self.outcomes) and not set(self.outcomes) - {"right"}
        return only_right and not self.flaws and not any(each.problem for each in self.recoveries)


def run_chaos(
    folder: Path,
    seed: int,
    seconds: float,
    faults: Sequence[str],
    tell: Tell,
    *,
    n_producers: int = 3,
    browsers: Sequence[Browser] = tuple(Browser),
    pause_s: tuple[float, float] = PAUSE_S,
    patience: float = 1.0,
    point: Callable[[str], None] = use_broker,
    keep: Path | None = None,
    stopping: threading.Event | None = None,
    least: int = 0,
) -> Result:
    """Faults for so many seconds, and each of them once at least where there is time; logs into `keep`.

    `pause_s`: the shortest and longest time between a recovery and the next fault. `patience`: how many
    times its bound a recovery may take. `point`: points this process's producer at a broker. `stopping`:
    no further fault once it is set. `least`: so many are done, however long each takes.
    """
    result, history, pauses = Result(seed), History(), random.Random(seed)
    with _start_up(folder, browsers, result, keep) as target:
        point(target.up.broker_url)
        _calm(target)
        load = Load(history, target.browsers, n_producers, seed)
        try:
            for recovery in _do_faults(target, random.Random(seed), seconds, faults, tell, patience, least):
                result.recoveries.append(recovery)
                if stopping is not None and stopping.is_set():
                    break
                time.sleep(pauses.uniform(*pause_s))
        finally:
            tell("waiting for the last answers", seconds)
            load.stop()
        result.flaws += _judge_guilty(target)
    result.outcomes, result.refused = dict(history.outcomes), dict(history.refused)
    result.guilty = dict(target.guilty.ends)
    result.flaws += history.told
    return result


@contextmanager
def _start_up(
    folder: Path, browsers: Sequence[Browser], result: Result, keep: Path | None
) -> Iterator[Target]:
    """A stack with its temporary files in `folder`; notes what it leaves behind."""
    for name in ("tmp", "clocks"):
        (folder / name).mkdir(mode=0o711)
    for browser in browsers:
        find_installation(browser, RuntimeSettings())
    faulty_models.plant(ModelStore(folder / "models"), GUILTY_MODEL, {Precision.FP32: faulty_models.loops()})
    up = Up(
        folder,
        *(word for browser in browsers for word in ("--browser", str(browser))),
        TMPDIR=str(folder / "tmp"),
        PYTHONPATH=os.pathsep.join((str(CLOCK), str(Path.cwd()))),
        CHAOS_CLOCKS=str(folder / "clocks"),
        WEBINFER_SIMULATION="never",
        WEBINFER_MODELS_DIR=str(folder / "models"),
    )
    try:
        yield Target(up, folder, tuple(map(str, browsers)))
    finally:
        logs = list((folder / "tmp").glob("webinfer-stack-*/*.log*"))
        result.n_twice = _count_twice(logs)
        processes = psutil.Process(up.pid).children(recursive=True)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / "up.log").write_text("\n".join(up.lines))
            for log in logs:
                shutil.copy(log, keep)
        if (code := up.stop()) not in ORDERLY:
            result.flaws.append(f"`webinfer up` ended with {code}")
        _, alive = psutil.wait_procs(processes, timeout=10)
        result.flaws += [f"left behind: {each}" for each in alive]
        result.flaws += [f"left behind: {each.name}" for each in (folder / "tmp").glob("webinfer-*")]


def _count_twice(logs: Sequence[Path]) -> int:
    ended: Counter[str] = Counter()
    for log in logs:
        ended.update(re.findall(r"Task infer\w*\[(\S+)\] succeeded", log.read_text(errors="replace")))
    return sum(n > 1 for n in ended.values())


def _calm(target: Target) -> None:
    """Every browser answers, each prompt's answer is known, and nothing is amiss."""
    for browser in target.browsers:
        _probe(browser, LOST_S)
    for prompt in PROMPTS:
        outcome, told = stream(prompt, browser=target.browsers[0])
        assert outcome == "right", told
        EXPECTED.setdefault(prompt, _answer(prompt, target.browsers[0]))
    assert _await_whole(target, time.monotonic() + LOST_S) == [], target.lacks()


def _judge_guilty(target: Target) -> list[str]:
    """What the requests that compute for ever came to that they may not, after a last wait for them."""
    deadline = time.monotonic() + LOST_S
    while target.guilty.under_way and time.monotonic() < deadline:
        target.guilty.look()
        time.sleep(LOOK_S)
    return [*target.guilty.flaws, *(f"no end of {each.id}" for each in target.guilty.under_way)]


def _answer(prompt: str, browser: str) -> str:
    asked = infer.delay(
        model_type="text_generation", model_name="numbers-llama", inputs=prompt, browser=browser
    )
    return str(asked.get(timeout=LOST_S)["output"]["text"])


def _do_faults(
    target: Target,
    chance: random.Random,
    seconds: float,
    faults: Sequence[str],
    tell: Tell,
    patience: float,
    least: int,
) -> Iterator[Recovery]:
    start, waiting, n_done = time.monotonic(), list(faults), 0
    chance.shuffle(waiting)
    while (at_s := time.monotonic() - start) < seconds or n_done < least:
        names = [waiting.pop() if waiting else chance.choice(list(faults))]
        if chance.random() < TWO_AT_ONCE:
            names.append(chance.choice(list(faults)))
        done = [f"{name} ({_do(name, target, chance)})" for name in names]
        tell(" + ".join(done), at_s)
        recovery = _recover(target, names, " + ".join(done), at_s, patience)
        tell(f"{recovery.answers_s:.1f} s, {recovery.whole_s:.1f} s {recovery.problem}", at_s)
        n_done += 1
        yield recovery


def _do(name: str, target: Target, chance: random.Random) -> str:
    """Do a fault to a browser that it can be done to now; which one."""
    for browser in chance.sample(target.browsers, len(target.browsers)):
        try:
            FAULTS[name].do(target, browser, chance)
        except (LookupError, psutil.Error, Busy, *AWAY):
            continue
        return browser
    return "not possible"


def _recover(target: Target, names: Sequence[str], fault: str, at_s: float, patience: float) -> Recovery:
    """Wait until every browser has answered right what was asked after now, and nothing is amiss."""
    began, problems = time.monotonic(), []
    # Of two at once, the second may undo what was done after the first.
    most_answers_s = patience * sum(FAULTS[name].answers_s for name in names)
    most_whole_s = patience * sum(FAULTS[name].whole_s for name in names)
    for browser in target.browsers:
        problem = _probe(browser, LOST_S)
        if problem:
            problems.append(f"{browser}: {problem}")
    answers_s = time.monotonic() - began
    problems += _await_whole(target, began + most_whole_s)
    if answers_s > most_answers_s:
        problems.append(f"took {answers_s:.1f} s, more than {most_answers_s:.0f}")
    note = f"{fault} at {at_s:.0f} s: {'; '.join(problems)}" if problems else ""
    return Recovery(fault, at_s, answers_s, time.monotonic() - began, note)


def _await_whole(target: Target, deadline: float) -> list[str]:
    """What is still amiss at the deadline.

    Every browser is asked once more: one whose page computed for ever is there until it is replaced.
    """
    while (found := target.lacks()) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    if not found:
        told = [(browser, _probe(browser, deadline - time.monotonic())) for browser in target.browsers]
        found = [f"{browser}: {problem}" for browser, problem in told if problem]
    return found


def _probe(browser: str, timeout_s: float) -> str:
    """Ask one browser until it answers right; what it said if it did not in time."""
    question, told, deadline = read_questions("digits-vit")[0], "no answer", time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            outcome, told = ask(question, browser=browser)
        except (InferenceError, *AWAY) as error:
            told = f"{type(error).__name__}: {error}"
            time.sleep(LOOK_S)
            continue
        if outcome == "right":
            return ""
    return told
