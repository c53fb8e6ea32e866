"""Brings a run's outcome back to its requests: results, or the recovery from its failure."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict

import structlog

from browser_runtime.contract.answers import ItemResult
from browser_runtime.contract.errors import DeadlineExceeded, FailedAt, FailedAttempt, InferenceError
from browser_runtime.contract.events import PoolObserver
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.policies.choosing import SessionChoice
from browser_runtime.policies.recovery import Action, RecoveryStep
from browser_runtime.pool.dispatch.observer import DispatchObserver
from browser_runtime.pool.dispatch.recovering import plan_for
from browser_runtime.pool.dispatch.requests import PendingRequest, RequestQueue, share_results
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.session.replies import BatchShare, RunResult, build_reply, find_bad_output
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)


class Outcomes:
    """Settles requests, or puts them back into the queue for another attempt."""

    def __init__(
        self,
        fleet: Fleet,
        queue: RequestQueue,
        health: PoolHealth,
        settings: RuntimeSettings,
        observer: PoolObserver,
    ) -> None:
        self._fleet, self._queue, self._health, self._settings = fleet, queue, health, settings
        self._pool_observer = observer
        self.observer = DispatchObserver()
        self.n_failed_attempts: Counter[tuple[str, str]] = Counter()
        """Attempts that failed since the pool was opened, by the error's code and what was done."""

    def settle(
        self,
        requests: list[PendingRequest],
        result: RunResult,
        choice: SessionChoice,
        started: float,
        session: Session,
    ) -> InferenceError | None:
        """Give each request its own part of a run that went well, or try it where its outputs may be right.

        Returns the error of a run none of whose outputs can be trusted.
        """
        shares = share_results(requests, result.answer["results"])
        for attempt in result.attempts:
            self._count(attempt)
        self._health.served(requests[0].model.name, (time.monotonic() - started) / len(requests))
        is_given_up = False
        for pending, results in zip(requests, shares, strict=True):
            if pending.settled:
                continue
            pending.history.extend(result.attempts)
            bad = find_bad_output(results)
            if bad is not None and self._try_elsewhere(pending, _locate(bad, result), session):
                continue
            is_given_up = True
            self._answer(pending, results, result, choice, started, len(result.answer["results"]))
        return self._judge(requests[0].model_key, result, is_given_up)

    def _answer(
        self,
        pending: PendingRequest,
        results: list[ItemResult],
        result: RunResult,
        choice: SessionChoice,
        started: float,
        n_items: int,
    ) -> None:
        waited_ms = (started - pending.arrived) * 1000 - pending.before.total_ms
        failed = [attempt.to_plain() for attempt in pending.history]
        routing = {**choice.to_routing(), "attempt": len(failed) + 1, "attempts": failed}
        share = BatchShare(results, waited_ms, n_items, routing, pending.before)
        try:
            pending.reply.set_result(build_reply(pending.request, pending.model.revision, result, share))
        except InferenceError as error:
            pending.reply.set_exception(_locate(error, result))
        self.observer.answered(pending)

    def _try_elsewhere(self, pending: PendingRequest, error: InferenceError, session: Session) -> bool:
        """Try the request on another backend or in another browser; False where there is none."""
        action = plan_for(pending, [pending], error, self._fleet, self._health, session, self._settings)
        if action.retries:
            self._tell(pending, session, error, action)
            _follow(action, pending, error, session, is_alone=True)
            self._queue.put(pending)
        return action.retries

    def _judge(self, model: ModelKey, result: RunResult, is_given_up: bool) -> InferenceError | None:
        """The error of a run all of whose outputs are bad; against the model where it goes nowhere else."""
        results = result.answer["results"]
        errors = [find_bad_output([each]) for each in results]
        if not results or not all(errors):
            return None
        if is_given_up and errors[0] is not None:
            self._health.models.failed(model, errors[0])
        else:
            self._health.models.withdrawn(model)
        return errors[0]

    def _count(self, attempt: FailedAttempt) -> None:
        self.n_failed_attempts[attempt.error, attempt.step] += 1
        self._pool_observer.attempt_failed(attempt)

    def recover(self, requests: list[PendingRequest], error: InferenceError, session: Session) -> None:
        """Give each request what the failure of its run calls for: another attempt, or the error."""
        is_over = False
        for pending in requests:
            if pending.settled:
                continue
            action = plan_for(pending, requests, error, self._fleet, self._health, session, self._settings)
            self._tell(pending, session, error, action)
            if action.retries:
                _follow(action, pending, error, session, is_alone=len(requests) == 1)
                self._queue.put(pending)
            else:
                pending.reply.set_exception(_own_error(pending, error))
                is_over = True
        if is_over:
            self._health.models.failed(requests[0].model_key, error)
        else:
            self._health.models.withdrawn(requests[0].model_key)

    def _tell(self, pending: PendingRequest, session: Session, error: InferenceError, action: Action) -> None:
        """Keep the failed attempt for the reply, log it, and count it."""
        attempt = FailedAttempt(
            pending.model.name,
            session.name,
            "" if error.at is None else error.at.backend,
            error.code(),
            str(error),
            str(action.step),
            action.reason + (f"; tried again after {action.delay_s:.3f} s" if action.delay_s else ""),
        )
        pending.history.append(attempt)
        log.warning("retrying request" if action.retries else "request failed", **asdict(attempt))
        self._count(attempt)


def _follow(
    action: Action, pending: PendingRequest, error: InferenceError, session: Session, *, is_alone: bool
) -> None:
    """Prepare the request for what was decided."""
    pending.not_before = time.monotonic() + action.delay_s
    pending.least_s = action.timeout_s or pending.least_s
    match action.step:
        case RecoveryStep.SMALLER_BATCH if is_alone:
            pending.max_items = action.n_items
        case RecoveryStep.OTHER_SESSION:
            pending.avoided.add(session.name)
        case RecoveryStep.OTHER_BACKEND if error.at is not None:
            pending.barred[Backend(error.at.backend)] = str(error)
        case RecoveryStep.OTHER_BROWSER:
            pending.shunned.add(session.installation.browser)


def _locate(error: InferenceError, result: RunResult) -> InferenceError:
    """The error with the place of its run."""
    error.at = FailedAt(result.place.session, result.place.build, str(result.loaded.backend))
    return error


def _own_error(pending: PendingRequest, error: InferenceError) -> InferenceError:
    """The error for this request of a batch: each has a deadline of its own."""
    if isinstance(error, DeadlineExceeded) and pending.deadline is not None:
        own: InferenceError = pending.deadline.exceeded(pending.doing)
    else:
        own = error.copy()
    own.attempts = tuple(pending.history)
    return own
