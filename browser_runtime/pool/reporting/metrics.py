"""Metrics of a pool under the guide's names: live values, nothing remembered or assumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import psutil

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.status import PoolStatus, SessionState, SessionStatus
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Family
from browser_runtime.pool.pool import Pool
from browser_runtime.session.plan import plan_backends
from browser_runtime.session.session import Session

if TYPE_CHECKING:
    from browser_runtime.simulation.session import SimulatedSession

SIMULATED_ID = "simulation-1"


def pool_metrics(pool: Pool, performance: dict[str, object]) -> dict[str, object]:
    """Everything the guide's `get_metrics` names, and what else there is to know; plain values.

    `performance` is a `Tally`'s, kept by whoever sends the requests. To be called on the pool's loop.
    """
    state = pool.status()
    return {
        "connections": _connections(pool, state),
        "adaptive_scaling": {
            "enabled": pool.settings.adaptive_scaling,
            "scaling_events": [event.to_plain() for event in pool.autoscaler.events],
        },
        "browser_capabilities": {
            str(session.installation.browser): describe(session.capabilities) | {"build": session.build}
            for session in pool.sessions
        },
        "resources": _resources(pool),
        "circuit_breaker": {
            "circuit_states": {session.session: _circuit(session) for session in state.sessions},
            "model_states": {
                str(key): asdict(failing.breaker) | {"error": failing.last_error}
                for key, failing in state.failing_models.items()
            },
        },
        "recovery": [
            {"error": error, "step": step, "n": n}
            for (error, step), n in pool.dispatch.outcomes.n_failed_attempts.items()
        ],
        "tensor_sharing": _sharing(pool, state),
        "performance": performance,
        "models": _models(state),
        "queue": {"waiting": state.n_waiting, "running": state.n_running, "restarts": state.n_restarts},
    }


def pool_connections(pool: Pool) -> dict[str, dict[str, object]]:
    """Every connection by its id."""
    if pool.simulated is not None:
        return {SIMULATED_ID: _simulated(pool.simulated)}
    return {session.name: _connection(session) for session in pool.sessions}


def _simulated(session: SimulatedSession) -> dict[str, object]:
    return {
        "browser": str(session.browser),
        "platform": str(Backend.SIMULATION),
        "is_simulation": True,
        "state": str(SessionState.READY),
        "reason": session.why,
        "capabilities": describe(Capabilities({})),
    }


def _connection(session: Session) -> dict[str, object]:
    return {
        "browser": str(session.installation.browser),
        "platform": _platform(session),
        "is_simulation": False,
        "state": str(session.state),
        "build": session.build,
        "busy": not session.idle,
        "models": _held(session),
        "runs": session.n_runs,
        "memory_mb": None if session.memory_bytes is None else session.memory_bytes / 1e6,
        "capabilities": describe(session.capabilities),
    }


def _platform(session: Session) -> str:
    """The backend of a request that names none, of the family this browser is preferred for."""
    browser = session.installation.browser
    family = next((f for f, b in PREFERRED_BROWSER.items() if b is browser), Family.VISION)
    backends = plan_backends((), browser, family, session.capabilities).backends
    return str(backends[0]) if backends else ""


def _held(session: Session) -> list[str]:
    return sorted(session.model_names)


def describe(can: Capabilities) -> dict[str, object]:
    """`<backend>_supported`, true only where a graph came out right on it, and what is behind it."""
    flags: dict[str, object] = {}
    for backend in PAGE_BACKENDS:
        found, adapter = can.backends.get(backend), can.adapter(backend)
        flags |= {
            f"{backend}_supported": found is not None and found.proved,
            f"{backend}_enabled": can.can(backend),
            f"{backend}_adapter": adapter.name,
            f"{backend}_is_software": adapter.software,
            f"{backend}_reason": can.reason(backend),
        }
    return flags


def _connections(pool: Pool, state: PoolStatus) -> dict[str, object]:
    """`active` compute now, `idle` do not, `current` are both; `utilization` is of their lanes, 0 to 1."""
    sessions = pool.sessions
    lanes = [not lane.is_idle for session in sessions for lane in session.lanes]
    n_active = sum(not session.idle for session in sessions)
    connections = pool_connections(pool).values()
    return {
        "active": n_active,
        "idle": len(sessions) - n_active,
        "current": len(sessions),
        "starting": state.n_starting,
        "min": pool.settings.min_sessions,
        "max": pool.settings.max_sessions,
        "utilization": sum(lanes) / len(lanes) if lanes else 0.0,
        "browser_distribution": dict(Counter(found["browser"] for found in connections)),
        "platform_distribution": dict(Counter(found["platform"] for found in connections)),
        "is_simulation": state.is_simulation,
    }


def _sharing(pool: Pool, state: PoolStatus) -> dict[str, object]:
    """What models share, over all lanes: graphs and weights open now, results kept now and taken so far."""
    shared = LaneSharing.sum(lane.sharing for session in state.sessions for lane in session.lanes)
    graphs, results = asdict(shared.graphs), asdict(shared.results)
    return {"enabled": pool.settings.tensor_sharing, "graphs": graphs, "results": results}


def _circuit(session: SessionStatus) -> dict[str, object]:
    breaker = asdict(session.breaker) | {"state": str(session.breaker.state)}
    return breaker | {"health_score": session.health, "health_factors": dict(session.health_factors)}


def _resources(pool: Pool) -> dict[str, object]:
    """Percent and megabytes; a browser's memory is proportional (PSS), sampled every few seconds."""
    known = [s.memory_bytes for s in pool.sessions if s.memory_bytes is not None]
    return {
        "system_memory_percent": psutil.virtual_memory().percent,
        "process_memory_mb": psutil.Process().memory_info().rss / 1e6,
        "browser_memory_mb": sum(known) / 1e6,
        "system_cpu_percent": pool.processor.look(),
    }


def _models(state: PoolStatus) -> dict[str, list[dict[str, str]]]:
    """Every loaded model: by its name, the sessions that hold it, with backend and precision."""
    models: dict[str, list[dict[str, str]]] = {}
    for session in state.sessions:
        for key in (key for lane in session.lanes for key in lane.models):
            held = {
                "session": session.session,
                "browser": str(session.browser),
                "backend": str(key.backend),
                "precision": str(key.precision),
                "revision": key.revision,
                "flags": "+".join(key.flags),
            }
            models.setdefault(key.name, []).append(held)
    return models
