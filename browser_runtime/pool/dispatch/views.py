"""Converts live sessions and requests to the plain values of the policies."""

from __future__ import annotations

import time
from dataclasses import dataclass

from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.policies.batching import Waiting
from browser_runtime.policies.latencies import LatencyKey
from browser_runtime.policies.scoring import Candidate, Need
from browser_runtime.pool.dispatch.requests import PendingRequest
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.session import Session


@dataclass(frozen=True, slots=True)
class Running:
    """The run of a busy lane."""

    started: float
    expected_ms: float | None


@dataclass(frozen=True, slots=True)
class LaneBacklog:
    """The work before a request on a busy lane."""

    running: Running
    waiting_ms: float
    """Work of the requests that wait for that lane already."""


def need_of(pending: PendingRequest, preferred: Browser | None) -> Need:
    """Return the demands of a request on a session."""
    request = pending.request
    left_ms = None if pending.deadline is None else pending.deadline.left_s * 1000
    return Need(
        request.family,
        pending.model.name,
        request.browser or preferred,
        request.backends,
        flags=frozenset(name for name, value in request.options.items() if value is True),
        remaining_ms=left_ms,
    )


def candidate_of(
    session: Session,
    lane: SessionLane,
    pending: PendingRequest,
    health: PoolHealth,
    backlog: LaneBacklog | None,
) -> Candidate:
    """Describe one lane as it looks to one request."""
    now = time.monotonic()
    browser = session.installation.browser
    plan = session.plan(pending.request, pending.barred)
    platform = _first_able(plan.backends, lane, pending)
    condition = health.of(session)
    known = None
    if platform is not None:
        known = health.measured(LatencyKey(pending.model_key, browser, platform))
    return Candidate(
        session.name,
        browser,
        platform,
        lane=lane.connection.number,
        backends=tuple(b for b in session.capabilities.backends if session.capabilities.can(b)),
        n_ahead=int(backlog is not None),
        queue_ahead_ms=_left_ms(backlog, now),
        is_warm=platform is not None and pending.model_key.on(platform) in lane.models.loaded,
        load_ms=health.load_ms(pending.model_key, browser),
        latency_ms=None if known is None else known.expected_ms(pending.size),
        evidence=0.0 if known is None else known.weight,
        free_memory_bytes=health.free_memory_bytes(),
        model_bytes=lane.models.missing_bytes(pending.contents, platform),
        held_share=_held_share(lane, pending, platform),
        health=condition.health.score(now),
        breaker_allows=condition.breaker.would_allow(now),
        has_refused=platform is not None and lane.models.refusal(pending.model_key.on(platform)) is not None,
    )


def _held_share(lane: SessionLane, pending: PendingRequest, platform: Backend | None) -> float:
    """Return the part of the model that models of this lane hold already, by bytes."""
    total = sum(content.size_bytes for content in pending.contents)
    return 1 - lane.models.missing_bytes(pending.contents, platform) / total if total else 0.0


def _first_able(backends: tuple[Backend, ...], lane: SessionLane, pending: PendingRequest) -> Backend | None:
    """The first backend of the plan that this lane has not refused for the model."""
    for backend in backends:
        if lane.models.refusal(pending.model_key.on(backend)) is None:
            return backend
    return backends[0] if backends else None


def _left_ms(backlog: LaneBacklog | None, now: float) -> float | None:
    """The time until a lane is free, in milliseconds; None where it is not known.

    A run past its time is expected to take as long again as it is late: one that hangs keeps nobody.
    """
    if backlog is None:
        return 0.0
    running = backlog.running
    if running.expected_ms is None:
        return None
    return abs(running.expected_ms - (now - running.started) * 1000) + backlog.waiting_ms


def waiting_of(ticket: int, pending: PendingRequest) -> Waiting:
    """Describe a request for the batcher."""
    return Waiting(
        ticket,
        (pending.batch_key, ticket) if pending.alone else pending.batch_key,
        pending.arrived,
        pending.lengths,
        pending.size_bytes,
        None if pending.deadline is None else pending.deadline.at,
    )
