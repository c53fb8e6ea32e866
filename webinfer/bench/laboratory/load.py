"""Open-loop load through the real queue: requests leave when they are due, and are timed from when they were.

A tester that waits for an answer before it sends on measures least when the system is slowest (coordinated
omission). Here a request's latency begins at its intended time, so that a delay of the sender counts as well.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import redis
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from browser_runtime.contract.errors import InferenceError, NotReady
from browser_runtime.contract.family_spec import AnswerSpec
from tasks.app import app
from webinfer.bench.laboratory.answers import Answer, read_answer
from webinfer.bench.laboratory.estimates import percentile
from webinfer.producing import no_broker, send

Tell = Callable[[str], None]

SHARES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
# Answers that have not come by then count as errors.
DRAIN_S = 60.0
# A system that has as much outstanding carries the rate no more: what follows would only measure the queue.
MOST_OUTSTANDING = 400
SAMPLE_S = 1.0
# Celery gives up reconnecting with a RuntimeError.
BROKER_LOST = (redis.RedisError, OperationalError, OSError, RuntimeError)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model of the mix: how it is asked for, and what it must answer."""

    name: str
    request: dict[str, Any]
    spec: AnswerSpec
    expected: Answer
    facts: dict[str, Any]
    """What ran: browser_build, backend, precision, is_simulation."""

    def __str__(self) -> str:
        where = (
            "simulated"
            if self.facts["is_simulation"]
            else f"{self.facts['browser_build']}, {self.facts['backend']}"
        )
        return f"{self.name} {self.facts['precision']}: {where}"


@dataclass(slots=True)
class LoadResult:
    """One run at one rate."""

    offered_per_s: float
    seconds: float
    latencies_ms: list[float] = field(default_factory=list)
    """Of right answers, sorted at the end."""
    errors: Counter[str] = field(default_factory=Counter)
    n_sent: int = 0
    worst_lag_ms: float = 0.0
    """The longest that a request left after its time: the sender's own part."""
    is_overloaded: bool = False
    """True if it was stopped because too many answers were outstanding."""
    is_cut: bool = False
    """True if Ctrl-C ended it: what was outstanding then is no error."""
    answered_per_s: float = 0.0
    workers: list[tuple[float, int]] = field(default_factory=list)
    """Seconds from the start and the workers that the autoscaler wanted then; empty without it."""

    @property
    def n_errors(self) -> int:
        """Requests without a right answer."""
        return sum(self.errors.values())

    def at(self, share: float) -> float | None:
        """A percentile of the latencies; None where too few were measured."""
        return percentile(self.latencies_ms, share)

    def holds(self, share: float, limit_ms: float) -> bool:
        """True if every answer came and was right, and that share of them in time."""
        found = self.at(share)
        is_whole = not self.is_overloaded and not self.is_cut
        return is_whole and not self.errors and found is not None and found <= limit_ms

    def to_plain(self) -> dict[str, Any]:
        """Plain values; every latency, in milliseconds."""
        plain = asdict(self) | {"errors": dict(self.errors)}
        plain["latencies_ms"] = [round(ms, 2) for ms in self.latencies_ms]
        plain["most_ms"] = plain["latencies_ms"][-1] if self.latencies_ms else None
        plain["percentiles_ms"] = {f"p{share * 100:g}": self.at(share) for share in SHARES}
        return plain


class LoadRun:
    """Sends the arrivals of one run and collects the answers, in one thread."""

    def __init__(
        self, mix: Sequence[LoadedModel], arrivals: Sequence[float], seconds: float, seed: int = 1
    ) -> None:
        """`seconds`: the time over which the arrivals are spread, that after the last one too."""
        self._mix, self._arrivals = mix, arrivals
        self._chance = random.Random(seed)  # noqa: S311 - a repeatable load
        self._pending: dict[str, tuple[float, LoadedModel, AsyncResult[Any]]] = {}
        self._began = 0.0
        self.result = LoadResult(len(arrivals) / seconds, seconds)

    def run(self, tell: Tell, sample: Callable[[], int | None] = lambda: None) -> LoadResult:
        """The result. `sample` gives the number of workers wanted. Raises NotReady without a broker.

        What is not answered by its end is revoked: the stack may be others' too. Ctrl-C ends it with what
        was answered by then.
        """
        result, self._began = self.result, time.monotonic()
        try:
            self._send_all(tell, sample)
            end = self._now() + DRAIN_S
            while self._pending and self._now() < end:
                self._drain(0.1)
        except KeyboardInterrupt:
            result.is_cut = True
        finally:
            took_s = self._now()
            if self._pending:
                with suppress(*BROKER_LOST):
                    app.control.revoke(list(self._pending), terminate=True)
        if self._pending and not result.is_cut:
            result.errors["no answer"] += len(self._pending)
        result.latencies_ms.sort()
        result.answered_per_s = len(result.latencies_ms) / max(took_s, 1e-3)
        return result

    def _send_all(self, tell: Tell, sample: Callable[[], int | None]) -> None:
        """Sends each request when it is due, until too many are outstanding."""
        next_sample = 0.0
        for due in self._arrivals:
            while (wait := due - self._now()) > 0:
                self._drain(min(wait, 0.05))
            self._send(due)
            if self._now() >= next_sample:
                next_sample = self._now() + SAMPLE_S
                self._note(sample(), tell)
            if len(self._pending) > MOST_OUTSTANDING:
                self.result.is_overloaded = True
                break

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _note(self, n_workers: int | None, tell: Tell) -> None:
        if n_workers is not None:
            self.result.workers.append((round(self._now(), 1), n_workers))
        tell(
            f"{self.result.offered_per_s:.1f}/s: {self.result.n_sent} sent, {len(self._pending)} outstanding"
        )

    def _send(self, due: float) -> None:
        model = self._chance.choice(self._mix)
        result = self.result
        result.worst_lag_ms = max(result.worst_lag_ms, (self._now() - due) * 1000)
        result.n_sent += 1
        try:
            sent = send(**model.request)
        except NotReady:
            raise
        except InferenceError as error:
            result.errors[error.code()] += 1
            return
        self._pending[sent.id] = (due, model, sent)
        sent.then(self._arrived)

    def _drain(self, timeout_s: float) -> None:
        consumer: Any = app.backend
        try:
            consumer.result_consumer.drain_events(timeout=timeout_s)
        except BROKER_LOST as error:
            raise no_broker() from error

    def _arrived(self, sent: AsyncResult[Any]) -> None:
        """Counts an answer at the moment at which it comes."""
        now = self._now()
        due, model, _ = self._pending.pop(sent.id, (0.0, None, None))
        if model is None:
            return
        value = sent.result
        if isinstance(value, BaseException):
            code = value.code() if isinstance(value, InferenceError) else type(value).__name__
            self.result.errors[code] += 1
            return
        if told := model.expected.difference(read_answer(value["output"], model.spec)):
            self.result.errors[f"wrong answer: {told}"] += 1
            return
        self.result.latencies_ms.append((now - due) * 1000)
