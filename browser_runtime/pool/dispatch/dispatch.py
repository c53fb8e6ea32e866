"""Runs waiting requests on lanes, and brings each run's results, or its failure, back to its requests."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from dataclasses import replace

from browser_runtime.background import TaskSet
from browser_runtime.contract.errors import Busy, DeadlineExceeded, InferenceError, PageSilent
from browser_runtime.contract.events import PoolObserver
from browser_runtime.policies.choosing import SessionChoice
from browser_runtime.pool.dispatch.echoes import Echoes
from browser_runtime.pool.dispatch.matching import LaneSlot, Matching
from browser_runtime.pool.dispatch.observer import DispatchObserver
from browser_runtime.pool.dispatch.outcomes import Outcomes
from browser_runtime.pool.dispatch.recovering import as_ours, count_loss
from browser_runtime.pool.dispatch.requests import (
    PendingRequest,
    RequestQueue,
    count_done,
    latest_deadline,
    merge,
)
from browser_runtime.pool.dispatch.views import Running
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.health.health import PoolHealth
from browser_runtime.pool.notifier import Notifier
from browser_runtime.session.lanes import LaneJob, SessionLane
from browser_runtime.session.replies import RunResult
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

# Requests that are looked at when something changed: those behind them wait for many runs anyway.
LOOK_AHEAD = 16
# Before a lane is looked at again that does not become free when it should.
LOOK_AGAIN_S = 0.05


class Dispatch:
    """Acts whenever something changed: a request came, a lane was freed, a session came up."""

    def __init__(
        self,
        fleet: Fleet,
        queue: RequestQueue,
        health: PoolHealth,
        settings: RuntimeSettings,
        notifier: Notifier,
        observer: PoolObserver,
    ) -> None:
        self.matching = Matching(fleet, queue, health)
        self.outcomes = Outcomes(fleet, queue, health, settings, observer)
        self.echoes = Echoes(fleet, self.matching, settings, notifier, self._release)
        self._fleet, self._queue, self._health = fleet, queue, health
        self._settings, self._notifier = settings, notifier
        self._observer = DispatchObserver()
        notifier.listeners.append(self.match)
        self._runs: dict[asyncio.Task[None], list[PendingRequest]] = {}
        """The runs that end when all their callers have left."""
        self._tasks = TaskSet()

    def observe(self, observer: DispatchObserver) -> None:
        """Call `observer` at every event from now on."""
        self._observer = self.outcomes.observer = observer

    # --- requests in

    def put(self, pending: PendingRequest) -> None:
        """Take in a new request; it runs at once where a lane is free."""
        self._observer.queued(pending)
        self._queue.put(pending)
        self.match()
        if not pending.running and not pending.settled:
            self._refuse_hopeless(pending)

    def watch(self, pending: PendingRequest) -> asyncio.TimerHandle:
        """End the request at its deadline, or when it has waited too long for a lane; to be cancelled."""
        since = time.monotonic() if pending.running else pending.waits_since
        at = since + self._settings.queue_timeout_s
        if pending.deadline is not None:
            at = min(at, pending.deadline.at)
        after_s = max(at - time.monotonic(), 0.0)
        return asyncio.get_running_loop().call_later(after_s, self._expire, pending)

    def _expire(self, pending: PendingRequest) -> None:
        if pending.settled:
            return
        waited_s = time.monotonic() - pending.waits_since
        if pending.deadline is not None and pending.deadline.left_s <= 0:
            pending.reply.set_exception(pending.deadline.exceeded(pending.doing))
        elif pending.running or waited_s < self._settings.queue_timeout_s:  # it ran meanwhile
            pending.timer = self.watch(pending)
        else:
            why = self._fleet.start_failures.values()
            pending.reply.set_exception(Busy(round(time.monotonic() - pending.arrived, 1), *why))

    def abandon(self, pending: PendingRequest) -> None:
        """Drop a request that nobody waits for; a run without another one is cancelled in the page."""
        if not pending.reply.done():
            pending.reply.cancel()
        self._queue.take([pending])
        for task, requests in self._runs.items():
            if pending in requests and all(each.settled for each in requests) and not task.done():
                task.cancel()

    # --- matching

    def match(self) -> None:
        """Start a run on every lane that something waiting is best served by.

        A request that had better wait for a busy lane makes that lane busier for those behind it, so that a
        queue before one warm lane, or before a run that is late, spills over as soon as that is quicker.
        """
        self._queue.prune()
        ahead: defaultdict[SessionLane, float] = defaultdict(float)
        until_s: list[float] = []
        for pending in itertools.islice(self._queue, LOOK_AHEAD):
            if self.matching.free_place() is None:
                break  # whatever had best go where, nothing can start now
            if pending.settled or pending.running:
                continue
            if (delay_s := pending.not_before - time.monotonic()) > 0:
                until_s.append(delay_s)
                continue
            if refusal := self._health.models.refusal(pending.model_key):
                pending.reply.set_exception(refusal)
                continue
            if not self._health.models.may_start(pending.model_key):
                continue
            choice = self.matching.choose(pending, ahead)
            if choice is None:
                self._refuse_hopeless(pending)
                continue
            place = self.matching.place(choice)
            if place[1].busy:
                ahead[place[1]] += self.matching.share_ms(place, pending, choice)
                until_s.append(max(choice.expected_ms / 1000, LOOK_AGAIN_S))
            else:
                self._start(place, pending, choice)
        self._notifier.notify_in(min(until_s, default=None))

    def _refuse_hopeless(self, pending: PendingRequest) -> None:
        refusal = self.matching.why_hopeless(pending)
        if refusal is not None:
            pending.reply.set_exception(refusal)

    def _start(self, place: LaneSlot, head: PendingRequest, choice: SessionChoice) -> None:
        """Run `head`, and what goes with it, on a free lane."""
        requests = self.matching.batch(place, head, choice)
        self._queue.take(requests)
        session, lane = place
        self._occupy(lane, head)
        self._health.of(session).breaker.allow(time.monotonic())
        self._health.models.started(head.model_key)
        for pending in requests:
            pending.lane, pending.reasons = lane, choice.reasons
        if lane.busy:
            size = sum(pending.size for pending in requests)
            expected_ms = self.matching.expected_ms(place, head, choice, size)
            self.matching.running[lane] = Running(time.monotonic(), expected_ms)
        self._tell_busy()
        task = self._tasks.spawn(self._run(place, requests, choice))
        self._runs[task] = requests
        task.add_done_callback(lambda done: self._runs.pop(done, None))

    def _occupy(self, lane: SessionLane, head: PendingRequest) -> None:
        """Take the lane: whole, or beside other generations of a model that is loaded."""
        generates = head.model.family.generates
        if generates:
            lane.generating[head.model_key] += head.n_prompts
        if not generates or not lane.models.holds(head.model_key):
            lane.holder = head

    def _share(self, lane: SessionLane, head: PendingRequest) -> None:
        """The model of a generation is loaded: from here on others may join it."""
        if lane.holder is head:
            lane.holder = None
            self.matching.running.pop(lane, None)
            self._notifier.notify()

    # --- running

    async def _run(self, place: LaneSlot, requests: list[PendingRequest], choice: SessionChoice) -> None:
        session, lane = place
        started = time.monotonic()
        n_units = self._work_before_lane(lane, requests)
        least_s = requests[0].least_s
        limits = self._health.times.limits(session.installation.browser, n_units, self._settings, least_s)
        deadline = latest_deadline(requests)
        head = requests[0]
        job = LaneJob(merge(requests), head.model, deadline, limits, head.barred, head.max_items, head.pieces)
        if head.model.family.generates:
            job = replace(job, on_ready=lambda: self._share(lane, head))
        try:
            result = await session.run(lane, job)
        except asyncio.CancelledError:
            self._health.of(session).breaker.withdraw(time.monotonic())
            self._health.models.withdrawn(requests[0].model_key)
            self._prove(session, lane, requests[0])
            raise
        except Exception as error:
            failure = as_ours(error)
            self._health.failed(session, requests[0].model_key, failure)
            if isinstance(failure, (PageSilent, DeadlineExceeded)):
                self._prove(session, lane, requests[0])
            else:
                self._free(lane, requests[0])
            count_loss(requests, failure)
            self._recover(requests, failure, session)
            return
        self._detach()
        await self._finish(place, requests, choice, result, started)

    def _work_before_lane(self, lane: SessionLane, requests: list[PendingRequest]) -> int:
        """The work of a run; of generated text up to its first token, behind the prompts that came before."""
        if not requests[0].model.family.generates:
            return sum(pending.work for pending in requests)
        here = (pending for running in self._runs.values() for pending in running if pending.lane is lane)
        return round(sum(sum(pending.lengths) for pending in here))

    def _detach(self) -> None:
        """Detach this task from its callers: the lane must be checked and freed even if all of them leave."""
        task = asyncio.current_task()
        assert task is not None
        self._runs.pop(task, None)

    async def _finish(
        self,
        place: LaneSlot,
        requests: list[PendingRequest],
        choice: SessionChoice,
        result: RunResult,
        started: float,
    ) -> None:
        session, lane = place
        try:
            bad = self.outcomes.settle(requests, result, choice, started, session)
            await asyncio.sleep(0)  # the callers go on first; what follows is bookkeeping
            if bad is None:
                done = count_done(requests, result.answer["results"])
                self._health.ran(session, requests[0].model_key, result, *done)
            else:
                self._health.failed(session, requests[0].model_key, bad)
            await session.golden.check_if_due(lane, result.loaded)
        except Exception as error:
            failure = as_ours(error)
            self._health.failed(session, requests[0].model_key, failure)
            self._recover(requests, failure, session)
        self._free(lane, requests[0])

    def _recover(self, requests: list[PendingRequest], error: InferenceError, session: Session) -> None:
        self.outcomes.recover(requests, error, session)
        self.match()

    def _free(self, lane: SessionLane, head: PendingRequest) -> None:
        """Give back what `_occupy` took for `head`."""
        if head.model.family.generates:
            lane.generating[head.model_key] -= head.n_prompts
        self._release(lane, head)

    def _release(self, lane: SessionLane, holder: object) -> None:
        if lane.holder is holder:
            lane.holder = None
            self.matching.running.pop(lane, None)
        self._tell_busy()
        self._notifier.notify()

    def _prove(self, session: Session, lane: SessionLane, head: PendingRequest) -> None:
        """Free the lane once its page has ended what was given up."""
        self._tasks.spawn(self.echoes.prove(session, lane, lambda: self._free(lane, head)))

    def _tell_busy(self) -> None:
        n_busy = sum(not lane.is_idle for session in self._fleet.sessions for lane in session.lanes)
        self._observer.busy(n_busy)

    # --- beside

    def is_needed(self, session: Session) -> bool:
        """Return whether it alone holds a model, or a graph, that something waits for: the last to go."""
        others = [other for other in self._fleet.sessions if other is not session]
        held = session.model_names | session.contents
        elsewhere = set[str]().union(*(other.model_names | other.contents for other in others))
        wanted = [*self._queue, *itertools.chain(*self._runs.values())]
        busy = {pending.model.name for pending in wanted} | {
            content.hash for pending in wanted for content in pending.contents
        }
        return bool((held - elsewhere) & busy)

    async def close(self) -> None:
        """End every run; what waits is Busy."""
        self._notifier.notify_in(None)
        for pending in list(self._queue):
            if not pending.settled:
                pending.reply.set_exception(Busy(0))
        await self.echoes.close()
        await self._tasks.cancel()
