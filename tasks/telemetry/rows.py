"""Events as rows of the history (scheduler/history/schema.sql). Pure: nothing is sent from here."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from browser_runtime.contract.acceleration import ACCELERATIONS
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import FailedAt, InferenceError
from browser_runtime.contract.events import ModelLoaded, PoolScaled, SessionChanged, SessionInfo
from browser_runtime.contract.messages import LOAD_STEPS, Adapter, Reply, Request
from browser_runtime.contract.options import FLAGS
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.status import PoolStatus
from browser_runtime.contract.version import installed_version
from tasks.telemetry.stream import Row

NAME_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """The circumstances of a request; all empty for one that came through no queue."""

    task_id: str = ""
    queue: str = ""
    reason: str = ""
    """Why it came to that queue."""
    broker_ms: float = 0.0
    """Waiting for a worker to take it."""


@lru_cache(maxsize=1)
def here() -> dict[str, str]:
    """Columns that all rows of this process share."""
    return {"os": f"{platform.system()} {platform.release()}", "webinfer_version": installed_version()}


def run_row(request: Request, reply: Reply, origin: RequestOrigin, worker: str, driver: str) -> Row:
    """One request that was answered."""
    failed = None if reply.success else "partly failed"
    return "runs", {
        **_origin(request, origin, worker),
        "session": reply.session,
        "browser": reply.browser,
        "browser_build": reply.browser_build,
        "driver": driver,
        "adapter": adapter_name(reply.adapter),
        "is_software": reply.adapter.software,
        "revision": reply.model_revision,
        "backend": reply.backend,
        "kernel": reply.kernel,
        "batch_size": reply.details.get("batch_items"),
        **asdict(reply.timings),
        "memory_mb": reply.memory_usage_mb,
        "ok": reply.success,
        "error_code": failed,
        "is_simulation": reply.is_simulation,
        "flags": json.dumps(_flags(request) | _done(reply)),
    }


def failure_row(
    request: Request, error: InferenceError, origin: RequestOrigin, worker: str, browser: str, total_ms: float
) -> Row:
    """One request that failed in this worker."""
    at = error.at or FailedAt("", "")
    return "runs", {
        **_origin(request, origin, worker),
        "browser": browser,
        "session": at.session,
        "browser_build": at.browser_build,
        "backend": at.backend or None,
        "broker_ms": origin.broker_ms,
        "total_ms": total_ms,
        "ok": False,
        "error_code": error.code(),
        "flags": json.dumps(_flags(request)),
    }


def _origin(request: Request, origin: RequestOrigin, worker: str) -> dict[str, Any]:
    return {
        "task_id": origin.task_id,
        "worker": worker,
        "queue": origin.queue,
        "family": str(request.family),
        "model": request.model_name,
        "precision": str(request.precision),
        "routing_reason": origin.reason,
        **here(),
    }


def _flags(request: Request) -> dict[str, bool]:
    return {name: True for name in FLAGS if request.options.get(name) is True}


def _done(reply: Reply) -> dict[str, bool]:
    """The flags that were really done, whatever was asked for."""
    ran = reply.details.get("acceleration", ())
    return {name: name in ran for name in ACCELERATIONS} | {
        "mixed_precision": reply.mixed_precision,
        # Of this run: that a model may share says nothing of its time.
        "tensor_sharing": bool(reply.details.get("shared")),
    }


def adapter_name(adapter: Adapter) -> str:
    """The device in one line; browsers that give a name repeat the maker in it."""
    return (adapter.name or f"{adapter.vendor} {adapter.architecture}".strip())[:NAME_CHARACTERS]


def _session(session: SessionInfo, worker: str) -> dict[str, Any]:
    return {
        "worker": worker,
        "session": session.name,
        "browser": str(session.browser),
        "browser_build": session.build,
    }


def load_row(event: ModelLoaded, worker: str) -> Row:
    """One model opened on one backend, or refused by it."""
    answer, key = event.answer or {}, event.model
    measured = {name: answer.get(name) for name in (*LOAD_STEPS, "weight_bytes")}
    return "loads", {
        **_session(event.session, worker),
        "backend": str(key.backend),
        "model": key.name,
        "revision": key.revision,
        "precision": str(key.precision),
        **measured,
        "ok": event.error is None,
        "error_code": None if event.error is None else event.error.code(),
    }


def connection_row(event: SessionChanged, worker: str) -> Row:
    """A change of a session."""
    reason = event.reason[:NAME_CHARACTERS]
    return "connections", {**_session(event.session, worker), "event": event.change, "reason": reason}


def capability_rows(browser: str, build: str, found: Capabilities) -> Iterator[Row]:
    """One row for each thing that a browser's backends proved: support, device, features."""
    features = {"cross_origin_isolated": str(found.cross_origin_isolated).lower(), **found.versions}
    for backend, can in found.backends.items():
        word = "proved" if can.proved else "supported" if can.supported else "missing"
        features[str(backend)] = word if can.permitted else "switched off"
        features[f"{backend} adapter"] = adapter_name(can.adapter)
        features[f"{backend} reason"] = can.reason
        for name in can.details.get("features") or ():
            features[f"{backend} {name}"] = "yes"
    for feature, value in features.items():
        if value:
            row = {"browser": browser, "browser_build": build, "feature": feature, "value": str(value)}
            yield "capabilities", row


def model_row(browser: str, name: str, family: str) -> Row:
    """A model that this worker could serve: what calibration chooses from."""
    return "capabilities", {
        "browser": browser,
        "browser_build": "",
        "feature": f"model {name}",
        "value": family,
    }


def health_rows(status: PoolStatus, worker: str) -> Iterator[Row]:
    """One row a session."""
    for session in status.sessions:
        memory = session.memory_bytes
        sharing = LaneSharing.sum(lane.sharing for lane in session.lanes)
        yield (
            "health",
            {
                "worker": worker,
                "session": session.session,
                "browser": str(session.browser),
                "score": session.health,
                "breaker": str(session.breaker.state),
                "queued": status.n_waiting,
                "running": session.n_busy,
                "memory_mb": None if memory is None else memory / 1e6,
                "models": json.dumps(sorted(session.model_names)),
                "factors": json.dumps(dict(session.health_factors)),
                "sharing": None if sharing == LaneSharing() else json.dumps(asdict(sharing)),
            },
        )


def scaling_row(event: PoolScaled, worker: str) -> Row:
    """One change that a pool made to its number of sessions."""
    return "scaling", {
        "scope": "pool",
        "name": f"{worker} {event.browser}",
        "action": "grow" if event.change > 0 else "shrink",
        "n_from": event.n,
        "n_to": event.target,
        "reason": "; ".join(event.reasons),
        "factors": json.dumps(dict(event.factors)),
        "dry_run": False,
    }
