"""The exercise: one fault after another, each followed by a look whether every browser answers again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.settings import RuntimeSettings
from tasks import infer
from tests.exercises.chaos.faults import FAULTS, Target
from tests.exercises.chaos.load import AWAY, EXPECTED, LOST_S, PROMPTS, History, Load, ask, stream
from tests.exercises.questions import read_questions
from tests.exercises.up import Up
from webinfer.producing import use_broker

CLOCK = Path(__file__).with_name("clock")
# Between the end of a recovery and the next fault.
PAUSE_S = (0.5, 3.0)

Tell = Callable[[str, float], None]
"""Called with what goes on and the seconds since the start."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A fault, and the time until every browser answered right what was asked after it."""

    fault: str
    browser: str
    at_s: float
    recovered_s: float
    bound_s: float
    problem: str = ""


@dataclass(slots=True)
class Result:
    """What a run came to."""

    seed: int
    outcomes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether all was answered right, and every part was back in its time."""
        only_right = bool(self.outcomes) and not set(self.outcomes) - {"right"}
        return only_right and not any(each.problem for each in self.recoveries)


def run_chaos(
    folder: Path,
    chance: random.Random,
    seconds: float,
    faults: Sequence[str],
    tell: Tell,
    *,
    seed: int,
    n_producers: int = 3,
    browsers: Sequence[Browser] = tuple(Browser),
) -> Result:
    """Faults for so many seconds, and each of them once at least where there is time."""
    for name in ("tmp", "clocks"):
        (folder / name).mkdir(mode=0o711)
    for browser in browsers:
        find_installation(browser, RuntimeSettings())
    words = [word for browser in browsers for word in ("--browser", str(browser))]
    up = Up(
        folder,
        *words,
        TMPDIR=str(folder / "tmp"),
        PYTHONPATH=os.pathsep.join((str(CLOCK), str(Path.cwd()))),
        CHAOS_CLOCKS=str(folder / "clocks"),
        WEBINFER_SIMULATION="never",
        WEBINFER_REDELIVERY_S="10",
    )
    result, history = Result(seed), History()
    try:
        use_broker(up.broker_url)
        target = Target(up, folder, tuple(map(str, browsers)))
        _calm(target)
        load = Load(history, target.browsers, n_producers, seed)
        try:
            _do_faults(target, chance, seconds, faults, tell, result)
        finally:
            tell("waiting for the last answers", seconds)
            load.stop()
    finally:
        up.stop()
    result.outcomes, result.refused = dict(history.outcomes), dict(history.refused)
    result.told = history.told
    return result


def _calm(target: Target) -> None:
    """Every browser answers, and each prompt's answer is known."""
    for browser in target.browsers:
        _probe(browser, LOST_S)
    for prompt in PROMPTS:
        outcome, told = stream(prompt, browser=target.browsers[0])
        assert outcome == "right", told
        EXPECTED.setdefault(prompt, _answer(prompt, target.browsers[0]))


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
    result: Result,
) -> None:
    start, waiting = time.monotonic(), list(faults)
    chance.shuffle(waiting)
    while (at_s := time.monotonic() - start) < seconds:
        name = waiting.pop() if waiting else chance.choice(list(faults))
        browser = chance.choice(target.browsers)
        fault, bound_s = FAULTS[name]
        tell(f"{name} ({browser})", at_s)
        try:
            fault(target, browser, chance)
        except LookupError as error:
            result.skipped.append(f"{name} ({browser}): {error}")
            continue
        recovered_s, problem = _recover(target, bound_s)
        note = f"{name} ({browser}) at {at_s:.0f} s: {problem}" if problem else ""
        result.recoveries.append(Recovery(name, browser, at_s, recovered_s, bound_s, note))
        time.sleep(chance.uniform(*PAUSE_S))


def _recover(target: Target, bound_s: float) -> tuple[float, str]:
    """Seconds until every browser has answered right what was asked after now, and what was amiss."""
    began, problems = time.monotonic(), []
    for browser in target.browsers:
        problem = _probe(browser, LOST_S)
        if problem:
            problems.append(f"{browser}: {problem}")
    recovered_s = time.monotonic() - began
    if recovered_s > bound_s:
        problems.append(f"took {recovered_s:.1f} s, more than {bound_s:.0f}")
    return recovered_s, "; ".join(problems)


def _probe(browser: str, timeout_s: float) -> str:
    """Ask one browser until it answers right; what it said if it did not in time."""
    question, told, deadline = read_questions("digits-vit")[0], "no answer", time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            outcome, told = ask(question, browser=browser)
        except (InferenceError, *AWAY) as error:
            told = f"{type(error).__name__}: {error}"
            time.sleep(0.2)
            continue
        if outcome == "right":
            return ""
    return told
