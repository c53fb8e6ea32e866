"""Plans the recovery of each request of a failed run, by the policies' table."""

from __future__ import annotations

import random

import structlog

from browser_runtime.contract.errors import (
    BackendFault,
    DeadlineExceeded,
    InferenceError,
    ModelFault,
    PageFault,
    PageSilent,
    SessionLost,
)
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.policies.categories import categorize
from browser_runtime.policies.recovery import Action, RecoveryContext, RecoveryStep, plan_recovery
from browser_runtime.pool.dispatch.requests import PendingRequest
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)


# A request that only ever waited for its model, or whose session came back, may lose this many times more.
LOADS_PER_ATTEMPT = 2


# What a batch fails with as a whole: running its requests one by one would end the same way.
ALL_ALIKE = (SessionLost, ModelFault, BackendFault, DeadlineExceeded)


def count_loss(requests: list[PendingRequest], error: InferenceError) -> None:
    """Hold a lost session against its requests; as its doing only where one alone ran, not while it loaded.

    From now on each runs by itself: should one of them be what ends browsers, the others are not to suffer.
    """
    for pending in requests:
        pending.alone = True
        if isinstance(error, SessionLost):
            pending.attempts += 1
            if error.at is not None and has_run(error) and len(requests) == 1:
                pending.blamed.add(error.at.session)  # once, however often its connection dropped
        pending.hung = pending.hung or is_hang(error)


def plan_for(
    pending: PendingRequest,
    requests: list[PendingRequest],
    error: InferenceError,
    fleet: Fleet,
    health: PoolHealth,
    session: Session,
    settings: RuntimeSettings,
) -> Action:
    """Look the action up in the table; whatever a batch failed with, only those it is about shall fail."""
    if len(requests) > 1 and not isinstance(error, ALL_ALIKE):
        return Action(RecoveryStep.SMALLER_BATCH, categorize(error), "each by itself", n_items=1)
    shunned = pending.shunned | ({session.installation.browser} if error.reroute else set())
    others = _others(pending, fleet, shunned)
    left_s = None if pending.deadline is None else pending.deadline.left_s
    longest_s = settings.run_timeout_s if has_run(error) else settings.load_timeout_s
    limit = None if pending.lane is None else pending.lane.activity.limit
    context = RecoveryContext(
        draw=random.random(),  # noqa: S311 - jitter, not a secret
        other_backends=_other_backends(pending, error, session),
        n_items=len(pending.items[: pending.max_items]) if has_run(error) else 1,
        has_other_session=any(other is not session for other in others),
        has_other_browser=bool(others),
        lives=session in fleet.sessions,
        timeout_s=longest_s if limit is None else limit.seconds,
        longest_s=longest_s,
        was_extended=pending.least_s is not None,
        remaining_s=left_s,
        device=health.device_step(session.installation.browser),
    )
    attempt = max(len(pending.blamed), pending.attempts // LOADS_PER_ATTEMPT, 1)
    return plan_recovery(error, attempt, context)


def is_hang(error: InferenceError) -> bool:
    """Return whether the request was being computed and took too long for it."""
    return isinstance(error, PageSilent) and has_run(error)


def _others(pending: PendingRequest, fleet: Fleet, shunned: set[Browser]) -> list[Session]:
    """The sessions that could take the request."""
    return [
        other
        for other in fleet.sessions
        if other.state is SessionState.READY
        and other.installation.browser not in shunned
        and other.plan(pending.request, pending.barred).backends
    ]


def has_run(error: InferenceError) -> bool:
    """Return whether the request was being computed when it failed, its model loaded."""
    return error.at is not None and bool(error.at.backend)


def _other_backends(pending: PendingRequest, error: InferenceError, session: Session) -> tuple[Backend, ...]:
    """Return the backends that the request allows besides the one it ran on; a load has tried them all."""
    if error.at is None or not has_run(error):
        return ()
    backends = session.plan(pending.request, pending.barred).backends
    return tuple(backend for backend in backends if str(backend) != error.at.backend)


def as_ours(error: Exception) -> InferenceError:
    """Return one of our errors as it is; anything else as a defect, rather than leave a lane busy."""
    if isinstance(error, InferenceError):
        return error
    log.exception("unexpected error in a run")
    return PageFault(f"{type(error).__name__}: {error}", "in the worker, not in the page: see its log")
