"""Brings what a run came to back to its requests: results, or what its failure calls for."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from browser_runtime.contract.errors import DeadlineExceeded, FailedAt, InferenceError
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.policies.choosing import SessionChoice
from browser_runtime.policies.recovery import RecoveryStep
from browser_runtime.pool.dispatch.recovering import plan_for
from browser_runtime.pool.dispatch.requests import PendingRequest, RequestQueue, share_results
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.session.replies import BatchShare, RunResult, build_reply
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)


class Outcomes:
    """Settles requests, or puts them back into the queue for another attempt."""

    def __init__(
        self, fleet: Fleet, queue: RequestQueue, health: PoolHealth, settings: RuntimeSettings
    ) -> None:
        self._fleet, self._queue, self._health, self._settings = fleet, queue, health, settings
        self.on_reply: list[Callable[[PendingRequest, RunResult], None]] = []

    def settle(
        self, requests: list[PendingRequest], result: RunResult, choice: SessionChoice, started: float
    ) -> None:
        """Give each request its own part of a run that went well."""
        shares = share_results(requests, result.answer["results"])
        n_items = sum(len(pending.items) for pending in requests)
        routing = choice.to_routing()
        self._health.served(requests[0].model.name, (time.monotonic() - started) / len(requests))
        for pending, results in zip(requests, shares, strict=True):
            if pending.settled:
                continue
            waited_ms = (started - pending.arrived) * 1000 - pending.before.total_ms
            own_routing = {**routing, "attempt": pending.attempts + 1, "attempts": pending.history}
            share = BatchShare(results, waited_ms, n_items, own_routing, pending.before)
            try:
                pending.reply.set_result(build_reply(pending.request, pending.model.revision, result, share))
            except InferenceError as error:
                error.at = FailedAt(result.place.session, result.place.build, str(result.loaded.backend))
                pending.reply.set_exception(error)
            for listener in self.on_reply:
                listener(pending, result)

    def recover(self, requests: list[PendingRequest], error: InferenceError, session: Session) -> None:
        """Give each request what the failure of its run calls for: another attempt, or the error."""
        is_over = False
        for pending in requests:
            if pending.settled:
                continue
            action = plan_for(pending, requests, error, self._fleet, session, self._settings)
            if action.retries:
                log.warning(
                    "retrying request",
                    model=pending.model.name,
                    session=session.name,
                    error=error.code(),
                    reason=str(error),
                    step=str(action.step),
                )
                pending.history.append(
                    {
                        "session": session.name,
                        "backend": "" if error.at is None else error.at.backend,
                        "error": error.code(),
                        "message": str(error),
                        "step": str(action.step),
                        "reason": action.reason,
                    }
                )
                pending.not_before = time.monotonic() + action.delay_s
                pending.least_s = action.timeout_s or pending.least_s
                if action.step is RecoveryStep.SMALLER_BATCH and len(requests) == 1:
                    pending.max_items = action.n_items
                elif action.step is RecoveryStep.OTHER_SESSION:
                    pending.avoided.add(session.name)
                if action.step is RecoveryStep.OTHER_BACKEND and error.at is not None:
                    pending.barred[Backend(error.at.backend)] = str(error)
                elif action.step is RecoveryStep.OTHER_BROWSER:
                    pending.shunned.add(session.installation.browser)
                self._queue.put(pending)
            else:
                pending.reply.set_exception(_own_error(pending, error))
                is_over = True
        if is_over:
            self._health.models.failed(requests[0].model_key, error)
        else:
            self._health.models.withdrawn(requests[0].model_key)


def _own_error(pending: PendingRequest, error: InferenceError) -> InferenceError:
    """The error for this request of a batch: each has a deadline of its own."""
    if isinstance(error, DeadlineExceeded) and pending.deadline is not None:
        return pending.deadline.exceeded(pending.doing)
    return error.copy()
