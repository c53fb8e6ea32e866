"""What a look at Redis and the workers found: plain values, read from what workers told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from browser_runtime.deciders.health import HEALTHY_SCORE
from scheduler.autoscaling.values import WorkerView


@dataclass(frozen=True, slots=True)
class WorkerSighting:
    """One worker that answered."""

    view: WorkerView
    queues: tuple[str, ...]
    answered: int
    """Since its process began."""
    load: float
    """Busy lanes, averaged over the last seconds."""
    busy_models: frozenset[str]
    memory_percent: float | None
    """Its browsers' share of the memory of the system it runs on."""
    system_memory_percent: float | None
    """All that is in use there."""
    started_s: float | None
    """How long its slowest browser took to start."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at everything."""

    workers: Mapping[str, WorkerSighting]
    """By name."""
    depths: Mapping[str, int]
    """Messages waiting by queue."""
    in_flight: Mapping[str, int]
    """Messages taken and not acknowledged by queue."""


def read_worker(name: str, status: Mapping[str, Any]) -> WorkerSighting | None:
    """The worker from its answer to `browser_status`; None where it owns no browsers."""
    if "error" in status or "sessions" not in status:
        return None
    sessions = [session for session in status["sessions"] if isinstance(session, dict)]
    lanes = [lane for session in sessions for lane in session.get("lanes", ())]
    load, memory = status.get("load"), status.get("system_memory", {})
    return WorkerSighting(
        view=_view(name, sessions, lanes),
        queues=tuple(status.get("queues", ())),
        answered=int(status.get("answered", 0)),
        load=float(load) if load is not None else float(sum(bool(lane.get("busy")) for lane in lanes)),
        busy_models=frozenset(status.get("busy_models", ())),
        memory_percent=_memory_percent(sessions, memory.get("total_bytes")),
        system_memory_percent=memory.get("percent"),
        started_s=max((float(session.get("started_ms") or 0) / 1000 for session in sessions), default=None),
    )


def _memory_percent(sessions: list[dict[str, Any]], total_bytes: float | None) -> float | None:
    used = sum(float(session.get("memory_bytes") or 0) for session in sessions)
    return 100 * used / total_bytes if used and total_bytes else None


def _view(name: str, sessions: list[dict[str, Any]], lanes: list[dict[str, Any]]) -> WorkerView:
    """Usable while one of its sessions is."""
    scores = [float(session.get("health", 100.0)) for session in sessions]
    is_allowed = [session.get("breaker", {}).get("state", "closed") != "open" for session in sessions]
    models = {str(key).split("|")[0] for lane in lanes for key in lane.get("models", ())}
    usable = [
        score for score, allowed in zip(scores, is_allowed, strict=True) if allowed and score >= HEALTHY_SCORE
    ]
    return WorkerView(
        name,
        n_lanes=max(len(lanes), 1),
        n_busy=sum(bool(lane.get("busy")) for lane in lanes),
        health=max(usable or scores, default=100.0),
        breaker_allows=bool(usable) or not sessions,
        warm_models=frozenset(models),
    )
