"""Reads the live state of a session, for remote control, metrics and tests."""

from __future__ import annotations

import time

from browser_runtime.contract.status import LaneStatus, SessionStatus
from browser_runtime.pool.health.health import SessionHealth
from browser_runtime.session.session import Session


def session_status(session: Session, condition: SessionHealth) -> SessionStatus:
    """Describe one session."""
    now, can = time.monotonic(), session.capabilities
    return SessionStatus(
        session=session.name,
        browser=session.installation.browser,
        state=session.state,
        build=session.build,
        driver=session.info.driver,
        lanes=tuple(
            LaneStatus(
                not lane.is_idle,
                tuple(lane.models.loaded),
                tuple(sorted(lane.models.contents)),
                lane.sharing,
            )
            for lane in session.lanes
        ),
        memory_bytes=session.memory_bytes,
        runs=session.n_runs,
        started_ms=session.started_ms,
        backends={str(backend): can.can(backend) for backend in can.backends},
        adapters={str(backend): can.adapter(backend) for backend in can.backends},
        health=condition.health.score(now),
        health_factors=condition.health.factors(now),
        breaker=condition.breaker.counts(now),
    )
