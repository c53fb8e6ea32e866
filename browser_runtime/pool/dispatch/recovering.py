"""What a failed run means for each of its orders, by the deciders' table."""

from __future__ import annotations

import random

import structlog

from browser_runtime.contract.errors import (
    BackendFault,
    DeadlineExceeded,
    InferenceError,
    ModelFault,
    PageFault,
    SessionLost,
)
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.policies.categories import categorize
from browser_runtime.policies.recovery import Action, RecoveryContext, RecoveryStep, plan_recovery
from browser_runtime.pool.dispatch.requests import PendingRequest
from browser_runtime.pool.fleet import Fleet
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)


# A request that only ever waited for its model may see this many times more sessions die than one that ran.
LOADS_PER_ATTEMPT = 2


# What a batch fails with as a whole: running its requests one by one would end the same way.
ALL_ALIKE = (SessionLost, ModelFault, BackendFault, DeadlineExceeded)


def count_loss(requests: list[PendingRequest], error: InferenceError, was_warm: bool) -> None:
    """Hold a lost session against its orders; as its doing only where one alone ran on a loaded model.

    From now on each runs by itself: should one of them be what ends browsers, the others are not to suffer.
    """
    for pending in requests:
        pending.alone = True
        pending.attempts += isinstance(error, SessionLost)
        pending.n_blamed += isinstance(error, SessionLost) and was_warm and len(requests) == 1


def plan_for(
    pending: PendingRequest,
    requests: list[PendingRequest],
    error: InferenceError,
    fleet: Fleet,
    session: Session,
    settings: RuntimeSettings,
) -> Action:
    """What the table says; whatever a batch failed with, only those it is about shall fail."""
    if len(requests) > 1 and not isinstance(error, ALL_ALIKE):
        return Action(RecoveryStep.SMALLER_BATCH, categorize(error), "each by itself", n_items=1)
    shunned = pending.shunned | ({session.installation.browser} if error.reroute else set())
    others = [other for other in fleet.sessions if other.installation.browser not in shunned]
    left_s = None if pending.deadline is None else pending.deadline.left_s
    has_run = error.at is not None and bool(error.at.backend)
    limit = None if pending.lane is None else pending.lane.activity.limit
    context = RecoveryContext(
        draw=random.random(),  # noqa: S311 - jitter, not a secret
        other_backends=_other_backends(pending, error, session),
        n_items=len(pending.items[: pending.max_items]) if has_run else 1,
        has_other_session=any(other is not session for other in others),
        has_other_browser=bool(others),
        timeout_s=settings.run_timeout_s if limit is None else limit.seconds,
        remaining_s=left_s,
    )
    attempt = max(pending.n_blamed, pending.attempts // LOADS_PER_ATTEMPT, 1)
    return plan_recovery(error, attempt, context)


def _other_backends(pending: PendingRequest, error: InferenceError, session: Session) -> tuple[Backend, ...]:
    """What the request allows besides the backend that it ran on; a load has tried them all."""
    if error.at is None or not error.at.backend:
        return ()
    backends = session.plan(pending.request, pending.barred).backends
    return tuple(backend for backend in backends if str(backend) != error.at.backend)


def as_ours(error: Exception) -> InferenceError:
    """One of our errors as it is; anything else is a defect, told as one rather than leaving a lane busy."""
    if isinstance(error, InferenceError):
        return error
    log.exception("a defect while running a request")
    return PageFault(f"{type(error).__name__}: {error}", "in the worker, not in the page: see its log")
