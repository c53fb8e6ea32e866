"""The pool's live state as plain values: what remote control, metrics and tests read."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from browser_runtime.contract.vocabulary import Backend
from browser_runtime.pool.health import SessionHealth
from browser_runtime.session.session import Session

if TYPE_CHECKING:
    from browser_runtime.pool.pool import Pool


def pool_state(pool: Pool) -> dict[str, Any]:
    """Everything there is to know of a pool now."""
    fleet = pool.fleet
    return {
        "browser": str(pool.browser),
        "build": next((found.build for found in fleet.installations.values()), ""),
        "simulation": pool.simulated is not None,
        "sessions": [session_state(session, pool.health.of(session)) for session in fleet.sessions],
        "wanted": sum(fleet.wanted.values()),
        "starting": sum(fleet.n_starting.values()),
        "running": pool.n_open - len(pool.queue),
        "waiting": len(pool.queue),
        "load": round(pool.autoscaler.load.value(time.monotonic()), 3),
        "busy_models": sorted(pool.autoscaler.arrivals.busy_models(time.monotonic())),
        "restarts": fleet.n_restarts,
        "refusing": pool.refusing,
    }


def session_state(session: Session, condition: SessionHealth) -> dict[str, Any]:
    """One session."""
    now = time.monotonic()
    return {
        "session": session.name,
        "browser": str(session.installation.browser),
        "state": str(session.state),
        "build": session.build,
        "driver": session.driver_version,
        "lanes": [{"busy": lane.busy, "models": list(lane.models.loaded)} for lane in session.lanes],
        "memory_bytes": session.memory_bytes,
        "runs": session.n_runs,
        "started_ms": session.started_ms,
        "backends": {str(b): session.capabilities.can(b) for b in session.capabilities.backends},
        "adapters": {str(b): _adapter(session, b) for b in session.capabilities.backends},
        "health": condition.health.score(now),
        "health_factors": condition.health.factors(now),
        "breaker": asdict(condition.breaker.counts(now)),
    }


def _adapter(session: Session, backend: Backend) -> dict[str, Any]:
    """The device behind a backend; `software` is None where the browser hides it."""
    adapter = session.capabilities.adapter(backend)
    return {"name": adapter.name, "software": adapter.software}
