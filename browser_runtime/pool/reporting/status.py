"""Reads a pool's live state: what remote control, metrics and tests look at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from browser_runtime.contract.status import LaneStatus, PoolStatus, SessionStatus
from browser_runtime.pool.health.health import SessionHealth
from browser_runtime.session.session import Session

if TYPE_CHECKING:
    from browser_runtime.pool.pool import Pool


def pool_status(pool: Pool) -> PoolStatus:
    """Everything there is to know of a pool now."""
    fleet, now = pool.fleet, time.monotonic()
    return PoolStatus(
        browser=pool.browser,
        build=next((found.build for found in fleet.installations.values()), ""),
        is_simulation=pool.simulated is not None,
        sessions=tuple(session_status(session, pool.health.of(session)) for session in fleet.sessions),
        n_wanted=sum(fleet.wanted.values()),
        n_starting=sum(fleet.n_starting.values()),
        n_running=pool.n_open - len(pool.queue),
        n_waiting=len(pool.queue),
        load=round(pool.autoscaler.load.value(now), 3),
        busy_models=tuple(sorted(pool.autoscaler.arrivals.busy_models(now))),
        n_restarts=fleet.n_restarts,
        failing_models=pool.health.models.failing(),
    )


def session_status(session: Session, condition: SessionHealth) -> SessionStatus:
    """One session."""
    now, can = time.monotonic(), session.capabilities
    return SessionStatus(
        session=session.name,
        browser=session.installation.browser,
        state=session.state,
        build=session.build,
        driver=session.driver_version,
        lanes=tuple(LaneStatus(lane.busy, tuple(lane.models.loaded)) for lane in session.lanes),
        memory_bytes=session.memory_bytes,
        runs=session.n_runs,
        started_ms=session.started_ms,
        backends={str(backend): can.can(backend) for backend in can.backends},
        adapters={str(backend): can.adapter(backend) for backend in can.backends},
        health=condition.health.score(now),
        health_factors=condition.health.factors(now),
        breaker=condition.breaker.counts(now),
    )
