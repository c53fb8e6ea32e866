"""The load: every family and streams, each request followed from its sending to its end, and judged."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import Busy, InferenceError, NotReady
from tasks import infer
from tests.exercises.questions import MODELS, Question, read_questions

# Whoever waits longer counts as lost.
LOST_S = 180.0
POLL_S = 0.05
# A producer that was refused, or found no Redis, tries again.
RETRY_S = 0.5
AWAY = (redis.RedisError, OperationalError, NotReady)
PROMPTS = ("Write 347 in words.", "Write 12 in words.", "Write 5 in words.")
EXPECTED: dict[str, str] = {}
"""What each prompt was answered while all was calm."""


@dataclass
class History:
    """What became of every request. For any thread."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """right, wrong, given up, lost."""
    refused: Counter[str] = field(default_factory=Counter)
    """Sends that were refused before anything was queued, by error."""
    told: list[str] = field(default_factory=list)
    """Of each that was not right: what was asked and what came."""
    waits_s: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, outcome: str, what: str, wait_s: float) -> None:
        """Note the end of a request."""
        with self._lock:
            self.outcomes[outcome] += 1
            self.waits_s.append(wait_s)
            if outcome != "right":
                self.told.append(f"{outcome} after {wait_s:.1f} s: {what}")

    def refuse(self, error: BaseException) -> None:
        """Note a send that was refused."""
        with self._lock:
            self.refused[type(error).__name__] += 1

    @property
    def is_clean(self) -> bool:
        """Whether every request that was sent was answered right."""
        return not set(self.outcomes) - {"right"}


def ask(question: Question, **options: Any) -> tuple[str, str]:
    """The outcome of one question, and what came in place of a right answer."""
    result = infer.delay(
        model_type=question.model_type,
        model_name=question.model_name,
        inputs=question.inputs if isinstance(question.inputs, str) else str(question.inputs),
        **options,
    )
    return judge(result, question.mismatch)


def judge(result: AsyncResult[Any], mismatch: Callable[[dict[str, Any]], str]) -> tuple[str, str]:
    """Wait for a result, whatever becomes of Redis meanwhile."""
    deadline = time.monotonic() + LOST_S
    while time.monotonic() < deadline:
        with contextlib.suppress(*AWAY):
            if result.ready():
                if result.failed():
                    return "given up", f"{type(result.result).__name__}: {result.result}"
                flaw = mismatch(result.get())
                return ("wrong", flaw) if flaw else ("right", "")
        time.sleep(POLL_S)
    return "lost", f"no answer to {result.id}"


def stream(prompt: str, **options: Any) -> tuple[str, str]:
    """The outcome of a prompt whose answer is read while it is generated: the pieces are the answer."""
    asked = {"model_type": "text_generation", "model_name": "numbers-llama", "inputs": prompt} | options
    pieces, text = infer.open_stream(asked), None  # not closed before its end, which would revoke it
    with contextlib.suppress(*AWAY, InferenceError):  # then the whole reply is asked for
        text = "".join(pieces)
    expected = EXPECTED.get(prompt)

    def mismatch(reply: dict[str, Any]) -> str:
        told = str(reply["output"]["text"])
        if text not in (None, told):
            return f"pieces {text!r} of {told!r}"
        return "" if expected in (None, told) else f"{told!r} in place of {expected!r}"

    return judge(pieces.result, mismatch)


class Load:
    """Producers that ask until they are stopped, each one question after another."""

    def __init__(self, history: History, browsers: Sequence[str], n_producers: int, seed: int) -> None:
        self._history, self._stopping, self._browsers = history, threading.Event(), browsers
        questions = [question for name in MODELS for question in read_questions(name)]
        self._threads = [
            threading.Thread(target=self._produce, args=(random.Random(seed * 1000 + number), questions))
            for number in range(n_producers)
        ]
        for thread in self._threads:
            thread.start()

    def _produce(self, chance: random.Random, questions: list[Question]) -> None:
        while not self._stopping.is_set():
            prompt, question = chance.choice(PROMPTS), chance.choice(questions)
            is_stream = chance.random() < 0.2
            began, what = time.monotonic(), prompt if is_stream else question.model_name
            try:
                where = {"browser": chance.choice(self._browsers)}
                outcome, told = stream(prompt, **where) if is_stream else ask(question, **where)
            except (Busy, *AWAY) as error:
                self._history.refuse(error)
                self._stopping.wait(RETRY_S)
                continue
            except InferenceError as error:
                outcome, told = "given up", f"{type(error).__name__}: {error}"
            self._history.end(outcome, f"{what}: {told}", time.monotonic() - began)

    def stop(self) -> None:
        """Ask nothing any more, and wait for every answer."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
