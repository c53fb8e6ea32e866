"""Match waiting orders with lanes, and bring each run's results, or its failure, back to its orders."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from browser_runtime.contract.errors import Busy, FailedAt, InferenceError, PageSilent, SessionLost
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.policies.choosing import Choice
from browser_runtime.pool.care import Care
from browser_runtime.pool.change import Change
from browser_runtime.pool.fleet import Fleet
from browser_runtime.pool.matching import Matching, Place
from browser_runtime.pool.orders import Line, Order, latest_deadline, merge, model_need, share_results
from browser_runtime.pool.recovering import as_ours, count_loss, plan_for
from browser_runtime.pool.views import Running
from browser_runtime.session.lanes import Job, SessionLane
from browser_runtime.session.replies import Ran, Share, build_reply
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

# A lane whose request was given up has this long to finish it before its browser is replaced.
PROOF_TIMEOUT_S = 30.0
# Orders that are looked at when something changed: those behind them wait for many runs anyway.
LOOK_AHEAD = 16
# For a timer that only a deadline, which there is none of, would set off.
NEVER_S = 86400.0


class Dispatch:
    """Runs whenever something changed: an order came, a lane was freed, a session came up."""

    def __init__(
        self, fleet: Fleet, line: Line, care: Care, settings: RuntimeSettings, change: Change
    ) -> None:
        self.matching = Matching(fleet, line, care)
        self._fleet, self._line, self._care = fleet, line, care
        self._settings, self._change = settings, change
        change.listeners.append(self.match)
        self.on_order: list[Callable[[Order], None]] = []
        self.on_reply: list[Callable[[Order, Ran], None]] = []
        self.on_busy: list[Callable[[int], None]] = []
        """Told how many lanes compute, at every change."""
        self._runs: dict[asyncio.Task[None], list[Order]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- orders in

    def put(self, order: Order) -> None:
        """A new order, run at once where a lane is free."""
        for listener in self.on_order:
            listener(order)
        self._line.put(order)
        self.match()
        if not order.running and not order.settled:
            self._refuse_hopeless(order)

    def watch(self, order: Order) -> asyncio.TimerHandle:
        """End the order at its deadline, or when it has waited too long for a lane; to be cancelled."""
        limits = [order.arrived + self._settings.queue_timeout_s] if not order.running else []
        limits += [order.deadline] if order.deadline is not None else []
        after_s = min(limits, default=time.monotonic() + NEVER_S) - time.monotonic()
        return asyncio.get_running_loop().call_later(max(after_s, 0.0), self._expire, order)

    def _expire(self, order: Order) -> None:
        late = order.deadline is not None and time.monotonic() >= order.deadline
        if order.settled:
            return
        if order.running and not late:
            order.timer = self.watch(order)
            return
        waited_s = round(time.monotonic() - order.arrived, 1)
        told = PageSilent("?", f"no answer within the request's {waited_s} s")
        order.reply.set_exception(told if order.running else Busy(waited_s))

    def abandon(self, order: Order) -> None:
        """Nobody waits for it any more; a run that has no other order is cancelled in the page."""
        if not order.reply.done():
            order.reply.cancel()
        self._line.take([order])
        for task, orders in self._runs.items():
            if order in orders and all(each.settled for each in orders) and not task.done():
                task.cancel()

    # --- matching

    def match(self) -> None:
        """Start a run on every lane that something waiting is best served by.

        An order that had better wait for a busy lane makes that lane busier for those behind it, so that a
        line before one warm lane spills over to a cold one as soon as that is quicker.
        """
        self._line.prune()
        ahead: defaultdict[SessionLane, float] = defaultdict(float)
        for order in itertools.islice(self._line, LOOK_AHEAD):
            if self.matching.free_place() is None:
                break  # whatever had best go where, nothing can start now
            if order.settled or order.running:
                continue
            choice = self.matching.choose(order, ahead)
            if choice is None:
                self._refuse_hopeless(order)
                continue
            place = self.matching.place(choice)
            if place[1].busy:
                ahead[place[1]] += self.matching.share_ms(place, order, choice)
            else:
                self._start(place, order, choice)

    def _refuse_hopeless(self, order: Order) -> None:
        refusal = self.matching.why_hopeless(order)
        if refusal is not None:
            order.reply.set_exception(refusal)

    def _start(self, place: Place, head: Order, choice: Choice) -> None:
        """Run `head`, and what goes with it, on a free lane."""
        orders = self.matching.batch(place, head, choice)
        self._line.take(orders)
        session, lane = place
        lane.busy = True
        self._care.of(session).breaker.allow(time.monotonic())
        for order in orders:
            order.running, order.reasons = True, choice.reasons
        n_items = sum(len(order.items) for order in orders)
        self.matching.running[lane] = Running(
            time.monotonic(), self.matching.expected_ms(place, head, choice, n_items)
        )
        self._tell_busy()
        task = asyncio.get_running_loop().create_task(self._run(place, orders, choice))
        self._runs[task] = orders
        task.add_done_callback(lambda done: self._runs.pop(done, None))

    # --- running

    async def _run(self, place: Place, orders: list[Order], choice: Choice) -> None:
        session, lane = place
        started = time.monotonic()
        job = Job(merge(orders), orders[0].model, latest_deadline(orders))
        try:
            ran = await session.run(lane, job)
        except asyncio.CancelledError:
            self._care.of(session).breaker.withdraw(time.monotonic())
            self._spawn(self._prove(session, lane))
            raise
        except Exception as error:
            failure = as_ours(error)
            self._care.failed(session, failure)
            if isinstance(failure, PageSilent):
                self._spawn(self._prove(session, lane))
            else:
                self._free(lane)
            count_loss(orders, failure, self.matching.was_warm(choice))
            self._recover(orders, failure, session.installation.browser)
            return
        self._keep()
        await self._finish(place, orders, choice, ran, started)

    def _keep(self) -> None:
        """From here on nobody who goes away cancels this task: its lane has to be checked and freed."""
        task = asyncio.current_task()
        assert task is not None
        self._runs.pop(task, None)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, place: Place, orders: list[Order], choice: Choice, ran: Ran, started: float
    ) -> None:
        session, lane = place
        try:
            self._settle(orders, ran, choice, started)
            await asyncio.sleep(0)  # the callers go on first; what follows is bookkeeping
            n_items = sum(len(order.items) for order in orders)
            self._care.ran(session, model_need(orders[0].request, orders[0].model), ran, n_items)
            await session.golden.check_if_due(lane, ran.loaded)
        except Exception as error:
            failure = as_ours(error)
            self._care.failed(session, failure)
            self._recover(orders, failure, session.installation.browser)
        self._free(lane)

    def _settle(self, orders: list[Order], ran: Ran, choice: Choice, started: float) -> None:
        shares = share_results(orders, ran.answer["results"])
        n_items = sum(len(order.items) for order in orders)
        routing = choice.to_routing()
        self._care.served(orders[0].model.name, (time.monotonic() - started) / len(orders))
        for order, results in zip(orders, shares, strict=True):
            if order.settled:
                continue
            told = {**routing, "attempt": order.attempts + 1}
            share = Share(results, (started - order.arrived) * 1000, n_items, told)
            try:
                order.reply.set_result(build_reply(order.request, order.model.revision, ran, share))
            except InferenceError as error:
                error.at = FailedAt(ran.place.session, ran.place.build, str(ran.loaded.backend))
                order.reply.set_exception(error)
            for listener in self.on_reply:
                listener(order, ran)

    def _recover(self, orders: list[Order], error: InferenceError, browser: Browser) -> None:
        """Give each order what its failure calls for: another try, a run by itself, or the error."""
        for order in orders:
            if order.settled:
                continue
            if error.reroute:
                order.shunned.add(browser)
            action = plan_for(order, orders, error, self._fleet, self._settings)
            if not action.retries:
                order.reply.set_exception(error.copy())
                continue
            log.warning("again", model=order.model.name, step=str(action.step), why=str(error))
            self._line.put(order)
        self.match()

    def _free(self, lane: SessionLane) -> None:
        lane.busy = False
        self.matching.running.pop(lane, None)
        self._tell_busy()
        self._change.notify()

    def _tell_busy(self) -> None:
        for listener in self.on_busy:
            listener(len(self.matching.running))

    async def _prove(self, session: Session, lane: SessionLane) -> None:
        """Calls of a lane run in order, so an echo's answer means that the given-up one has ended."""
        try:
            await lane.lane.call("echo", PROOF_TIMEOUT_S, value=None)
            self._free(lane)
        except SessionLost as error:
            self._fleet.lose(session, error)

    # --- beside

    def is_needed(self, session: Session) -> bool:
        """Whether it alone holds a model that something waits for: it is the last to go."""
        others = [other for other in self._fleet.sessions if other is not session]
        held = session.model_names
        elsewhere = set[str]().union(*(other.model_names for other in others))
        busy = {order.model.name for order in self._line} | {
            order.model.name for orders in self._runs.values() for order in orders
        }
        return bool((held - elsewhere) & busy)

    async def echo(self, value: Any) -> Any:
        """`value` after its way to a page and back, on the first lane that is free."""
        place: Place | None = None

        def found() -> bool:
            nonlocal place
            place = self.matching.free_place()
            return place is not None

        async with _busy_after(self._settings.queue_timeout_s):
            await self._change.until(found)
        assert place is not None
        return await self.echo_on(*place, value)

    async def echo_on(self, session: Session, lane: SessionLane, value: Any) -> Any:
        """`value` after its way to the page and back on a lane that is free."""
        lane.busy = True
        try:
            return await session.echo(lane, value)
        finally:
            self._free(lane)

    async def close(self) -> None:
        """End every run; what waits is Busy."""
        for order in list(self._line):
            if not order.settled:
                order.reply.set_exception(Busy(0))
        while tasks := [*self._runs, *self._tasks]:  # a run that is cancelled leaves a lane to be proved
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def _busy_after(limit_s: float) -> Any:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise Busy(limit_s) from error
