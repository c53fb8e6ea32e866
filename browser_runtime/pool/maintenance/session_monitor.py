"""Measures each session's memory and echo, and replaces the one that calls for it."""

from __future__ import annotations

import time

import psutil
import structlog

from browser_runtime.contract.errors import InferenceError, SessionLost
from browser_runtime.contract.events import PoolObserver
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import HEALTHY_SCORE
from browser_runtime.policies.recycling import RecyclePolicy, SessionUse, find_recycle_reason, is_memory_short
from browser_runtime.pool.dispatch.dispatch import Dispatch
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.session.session import Session

log = structlog.get_logger(__name__)


class SessionMonitor:
    """Looks after the sessions of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        health: PoolHealth,
        dispatch: Dispatch,
        policy: RecyclePolicy,
        observer: PoolObserver,
    ) -> None:
        self.policy = policy
        self._fleet, self._health, self._dispatch, self._observer = fleet, health, dispatch, observer

    async def look_after_all(self) -> None:
        """Measure every session that takes requests."""
        for session in list(self._fleet.sessions):
            if session.state is SessionState.READY:
                await self.look_after(session)

    async def look_after(self, session: Session) -> None:
        """Measure one session, and replace it where that is called for."""
        try:
            await session.sample_memory()
            self._health.sampled(session, self.policy.max_memory_bytes)
            await self._relieve(session)
            await self._ping(session)
        except SessionLost as error:
            self._fleet.lose(session, error)
            return
        except InferenceError as error:
            log.warning("session check failed", session=session.name, error=str(error))
        reason = self._reason(session)
        if reason is not None and session.state is SessionState.READY:
            log.warning("recycling session", session=session.name, reason=reason)
            self._observer.connected(session.changed("recycled", reason))
            self._fleet.spawn_recycle(session, reason)

    async def _relieve(self, session: Session) -> None:
        """Have the session drop what it keeps for later where memory is short: that goes first of all."""
        if is_memory_short(session.memory_bytes, psutil.virtual_memory().percent, self.policy):
            freed_bytes = await session.shed()
            if freed_bytes:
                log.info("kept results dropped", session=session.name, freed_bytes=freed_bytes)

    async def _ping(self, session: Session) -> None:
        """An echo on each lane that is idle; a busy one shows by its answers that it lives."""
        for lane in session.lanes:
            if lane.is_idle and lane.connection.is_idle:
                self._health.pinged(session, await self._dispatch.echoes.ping(session, lane))

    def _reason(self, session: Session) -> str | None:
        condition, now = self._health.of(session), time.monotonic()
        use = SessionUse(session.n_runs, condition.memory_samples, condition.settled_at_s)
        reason = find_recycle_reason(use, self.policy)
        if session.host.lacks_folder:
            reason = "its temporary folder was removed"
        elif session.host.lacks_driver:
            reason = "its driver has ended"
        score = condition.health.score(now)
        if reason is None and score < HEALTHY_SCORE and condition.was_unhealthy:
            reason = f"its health is {score:.0f} for the second check in a row"
        condition.was_unhealthy = score < HEALTHY_SCORE
        return reason
