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
from celery import chain
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import Busy, InferenceError, NotReady
from tasks import echo, infer
from tests.exercises.questions import MODELS, Question, read_questions

# Whoever waits longer counts as lost.
LOST_S = 180.0
POLL_S = 0.05
# Requests of a burst, and of one message.
N_AT_ONCE = 6
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


def asked(question: Question) -> dict[str, str]:
    """The arguments of a question."""
    return {
        "model_type": question.model_type,
        "model_name": question.model_name,
        "inputs": str(question.inputs),
    }


def ask(question: Question, **options: Any) -> tuple[str, str]:
    """The outcome of one question, and what came in place of a right answer."""
    return judge(infer.delay(**asked(question), **options), question.mismatch)


def ask_many(questions: Sequence[Question], priority: int, **options: Any) -> list[tuple[str, str]]:
    """The outcomes of questions that are on their way at once."""
    results = [infer.apply_async(kwargs=asked(each) | options, priority=priority) for each in questions]
    return [judge(result, each.mismatch) for result, each in zip(results, questions, strict=True)]


def ask_together(questions: Sequence[Question], **options: Any) -> tuple[str, str]:
    """The outcome of questions in one message."""

    def mismatch(replies: list[dict[str, Any]]) -> str:
        flaws = [each.mismatch(reply) for reply, each in zip(replies, questions, strict=True)]
        return "; ".join(filter(None, flaws))

    return judge(infer.map([asked(question) | options for question in questions]).delay(), mismatch)


def ask_in_chain(question: Question, **options: Any) -> tuple[str, str]:
    """The outcome of a question whose reply is then sent through a page as it is."""
    last = chain(infer.s(**asked(question), **options), echo.s(**options)).delay()
    return judge(last, question.mismatch)


def judge(result: AsyncResult[Any], mismatch: Callable[[Any], str]) -> tuple[str, str]:
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
            began = time.monotonic()
            try:
                what, ends = self._ask(chance, questions)
            except (Busy, *AWAY) as error:
                self._history.refuse(error)
                self._stopping.wait(RETRY_S)
                continue
            for outcome, flaw in ends:
                self._history.end(outcome, f"{what}: {flaw}", time.monotonic() - began)

    def _ask(self, chance: random.Random, questions: list[Question]) -> tuple[str, list[tuple[str, str]]]:
        """One turn: one request, or several in one of the ways to send them. What, and the outcomes."""
        where, several = {"browser": chance.choice(self._browsers)}, chance.sample(questions, N_AT_ONCE)
        match chance.choices(("stream", "burst", "together", "chain", "one"), (20, 10, 10, 10, 50))[0]:
            case "stream":
                prompt = chance.choice(PROMPTS)
                return prompt, [stream(prompt, **where)]
            case "burst":
                return "burst", ask_many(several, priority=chance.choice((0, 6)), **where)
            case "together":
                return "together", [ask_together(several, **where)]
            case "chain":
                return "chain", [ask_in_chain(several[0], **where)]
        return several[0].model_name, [ask(several[0], **where)]

    def stop(self) -> None:
        """Ask nothing any more, and wait for every answer."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
