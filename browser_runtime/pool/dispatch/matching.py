"""Matches requests with lanes and batches them: reads the live state, asks the policies."""

from __future__ import annotations

import itertools
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from browser_runtime.contract.errors import InferenceError, OutOfMemory, Unsupported
from browser_runtime.contract.status import SessionState
from browser_runtime.contract.vocabulary import Browser, Family
from browser_runtime.policies.batching import BatchPolicy, take_batch
from browser_runtime.policies.choosing import SessionChoice, choose_session
from browser_runtime.policies.latencies import BatchCost, LatencyKey, LatencySummary
from browser_runtime.policies.scoring import Candidate
from browser_runtime.policies.weighing import Weighed
from browser_runtime.pool.dispatch.requests import PendingRequest, RequestQueue
from browser_runtime.pool.dispatch.views import LaneBacklog, Running, candidate_of, need_of, waiting_of
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.plan import plan_backends
from browser_runtime.session.session import Session

LaneSlot = tuple[Session, SessionLane]


@dataclass
class Matching:
    """Reads the fleet, the queue and the measured latencies; changes none of them."""

    fleet: Fleet
    queue: RequestQueue
    health: PoolHealth
    preferred: dict[Family, Browser] = field(default_factory=dict)
    """The user's browser for a family; the guide's table where there is none."""
    running: dict[SessionLane, Running] = field(default_factory=dict)
    _tickets: itertools.count[int] = field(default_factory=itertools.count)

    def choose(self, pending: PendingRequest, ahead_ms: Mapping[SessionLane, float]) -> SessionChoice | None:
        """Choose the lane expected to answer `pending` first; None when no session that is up can take it.

        `ahead_ms`: work of waiting requests before it, by the lane they had better wait for.
        """
        candidates = [
            candidate_of(session, lane, pending, self.health, self._backlog(lane, ahead_ms))
            for session in self.ready()
            for lane in session.lanes
            if lane.connection.joined.is_set() and session.installation.browser not in pending.shunned
        ]
        candidates = [found for found in candidates if found.session not in pending.avoided] or candidates
        if pending.model.family.generates:
            candidates = self._least_shared(pending, candidates)
        preferred = self.preferred.get(pending.request.family)
        return choose_session(candidates, need_of(pending, preferred)) if candidates else None

    def _least_shared(self, pending: PendingRequest, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates that may take one more generation, those that hold the model first."""
        shares = []
        for found in candidates:
            _, lane = self._slot(found.session, found.lane)
            if lane.can_generate(pending.model_key, pending.model.family.limits.max_batch):
                is_cold = not lane.models.holds(pending.model_key)
                shares.append((is_cold, lane.generating.total(), found))
        least = min((share[:2] for share in shares), default=None)
        return [found for *share, found in shares if tuple(share) == least]

    def _slot(self, name: str, lane: int) -> LaneSlot:
        session = next(session for session in self.fleet.sessions if session.name == name)
        return session, session.lanes[lane]

    def _backlog(self, lane: SessionLane, ahead_ms: Mapping[SessionLane, float]) -> LaneBacklog | None:
        running = self.running.get(lane)
        return None if running is None else LaneBacklog(running, ahead_ms.get(lane, 0.0))

    def place(self, choice: SessionChoice) -> LaneSlot:
        """The live lane of a choice made just now."""
        return self._slot(choice.session, choice.lane)

    def ready(self) -> list[Session]:
        """Sessions that take new work."""
        return [session for session in self.fleet.sessions if session.state is SessionState.READY]

    def free_place(self) -> LaneSlot | None:
        """The first lane that does nothing."""
        for session in self.ready():
            for lane in session.lanes:
                if not lane.busy and lane.connection.joined.is_set():
                    return session, lane
        return None

    def why_hopeless(self, pending: PendingRequest) -> InferenceError | None:
        """The refusal, when no session that is up, and none that is coming up, can do what it asks."""
        request, ready = pending.request, self.ready()
        if not ready or self.fleet.n_starting.total():
            return None
        missing = (
            lane.models.missing_bytes(pending.contents, backend)
            for session in ready
            for lane in session.lanes
            for backend in session.capabilities.backends
        )
        needed = min(missing, default=pending.model.loaded_bytes(request.precision))
        free = self.health.free_memory_bytes()
        if needed > free and not self._is_loaded(pending):
            return OutOfMemory(f"{pending.model.name} needs {needed} bytes, this machine has {free} left")
        refusals = {}
        for session in ready:
            browser, can = session.installation.browser, session.capabilities
            if plan_backends(request.backends, browser, request.family, can).backends:
                return None
            for backend in request.backends or can.backends:
                refusals[f"{backend} in {session.build}"] = can.reason(backend) or "not proved"
        wanted = ", ".join(request.backends) or "any backend"
        reasons = "; ".join(f"{where}: {why}" for where, why in refusals.items())
        return Unsupported(f"{request.model_name} on {wanted}", reasons)

    def _is_loaded(self, pending: PendingRequest) -> bool:
        return any(pending.model.name in session.model_names for session in self.ready())

    def batch(self, place: LaneSlot, head: PendingRequest, choice: SessionChoice) -> list[PendingRequest]:
        """`head` and the waiting requests that run with it."""
        alike = {
            next(self._tickets): pending for pending in self.queue if pending.batch_key == head.batch_key
        }
        if len(alike) == 1 or head.alone:
            return [head]
        known = self._measured(place, head, choice)
        costs: dict[Hashable, BatchCost] = {} if known is None else {head.batch_key: known.cost}
        waiting = [waiting_of(ticket, pending) for ticket, pending in alike.items()]
        batch = take_batch(waiting, BatchPolicy(costs=costs), time.monotonic())
        chosen = [alike[request.ticket] for request in batch]
        return chosen if head in chosen else [head]

    def expected_ms(
        self, place: LaneSlot, head: PendingRequest, choice: SessionChoice, n_items: int
    ) -> float | None:
        """Return the expected time of loading and `n_items` there; None where nothing was ever measured.

        What other lanes measured is better than nothing: where it is not known how long a warm lane is busy,
        those behind load the model elsewhere, which takes seconds.
        """
        known, weighed = self._measured(place, head, choice), self._weighed(choice)
        if known is not None:
            return weighed.load_ms + known.expected_ms(n_items)
        is_guess = not any(found.is_measured for found in choice.weighed)
        return None if is_guess else weighed.load_ms + weighed.run_ms

    def share_ms(self, place: LaneSlot, pending: PendingRequest, choice: SessionChoice) -> float:
        """Return the work that a request adds before that lane: its part of a batch."""
        known = self._measured(place, pending, choice)
        if known is not None:
            return known.cost.per_item_ms * pending.size
        return self._weighed(choice).run_ms

    @staticmethod
    def _weighed(choice: SessionChoice) -> Weighed:
        """Return the expected times of the lane that was chosen."""
        return next(w for w in choice.weighed if (w.session, w.lane) == (choice.session, choice.lane))

    def _measured(
        self, place: LaneSlot, head: PendingRequest, choice: SessionChoice
    ) -> LatencySummary | None:
        browser = place[0].installation.browser
        return self.health.measured(LatencyKey(head.model_key, browser, choice.backend))
