"""Boot steps: browsers are up before the worker consumes, and are drained before they are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import redis
from celery import bootsteps
from celery.utils.log import get_logger

import workers.control  # noqa: F401 - registers the remote control commands
from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.setup.extras import MissingExtra, require
from browser_runtime.contract.status import FailingModels
from browser_runtime.contract.vocabulary import Browser
from tasks.keys import RedisKeys
from tasks.periodic import Turn
from tasks.routing.router import BROWSER_OF, INBOX, QUEUE_OF
from tasks.routing.serving import expect
from tasks.runner import Runner, bind_runner, bound_runner
from workers.delivery.collecting import Collector
from workers.delivery.dead_letters import DeadLetters
from workers.delivery.leases import LeaseRenewer
from workers.delivery.transport import safe_connection
from workers.execution.sizing import Sizing, count_slots
from workers.queues import Contradiction, plan_browser

if TYPE_CHECKING:
    from tasks.app import WebinferApp
    from workers.worker_telemetry import WorkerTelemetry

log = get_logger(__name__)

# How often a session's health is published: events cost throughput.
HEALTH_INTERVAL_S = 5.0
# Closing browsers politely; whatever is left then is killed by the launcher's guardian.
CLOSE_TIMEOUT_S = 15.0
EXIT_FAILURE = 1
# Whose keys are ours to tidy.
QUEUES = (INBOX, *QUEUE_OF.values())


class SafeKeeping(bootsteps.StartStopStep):
    """First up and last down: the connection that survives broken items, and the leases of messages held."""

    requires = ("celery.worker.components:Timer",)

    def create(self, w: Any) -> LeaseRenewer:  # type: ignore[override]
        """Prepare both, before the consumer connects."""
        w.app.serve()
        w.app.amqp.Connection = safe_connection(DeadLetters(w.app, w.hostname).bury_item)
        settings = w.app.settings
        kinds = RedisKeys(settings.redis_prefix).kinds(QUEUES)
        prefix = settings.ledger_prefix
        w.leases = LeaseRenewer(w.app.conf.broker_url, settings.redelivery_s, prefix, kinds)
        return w.leases  # type: ignore[no-any-return]

    def terminate(self, w: Any) -> None:
        """Stop renewing at once."""
        w.leases.stop()


class BrowserPool(bootsteps.StartStopStep):
    """Opens the runner on the task pool's loop; its options are --browser, --sessions and --lanes."""

    requires = ("celery.worker.components:Pool", SafeKeeping)

    def __init__(
        self,
        w: Any,
        browser: str | None = None,
        sessions: int | None = None,
        lanes: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(w, **options)
        try:
            self.browser = plan_browser(w.app.amqp.queues.consume_from, browser)
            if self.browser is not None:
                require("worker")
        except (Contradiction, MissingExtra) as error:
            raise click.UsageError(str(error)) from error
        self.n_sessions, self.n_lanes = sessions or 1, lanes or 1
        self.runner: Any = None
        self.telemetry: WorkerTelemetry | None = None
        self.collector: Collector | None = None

    def create(self, w: Any) -> BrowserPool:  # type: ignore[override]
        """Give the worker room for what its lanes take, before its consumer is made."""
        self._at_least = w.concurrency
        if self.browser is not None:
            w.concurrency = w.pool.limit = self._slots(self.n_sessions)
            w.app.amqp.queues.select_add(w.app.amqp.queues[INBOX])
        return self

    def build_runner(self, w: Any, browser: Browser) -> Any:
        """The runner, not yet open; from now on its log lines are the worker's own."""
        from browser_runtime.logs import log_through_stdlib
        from browser_runtime.pool import Pool
        from browser_runtime.settings import RuntimeSettings

        log_through_stdlib()
        return Pool(RuntimeSettings(), browser, self.n_sessions, self.n_lanes)

    def start(self, w: Any) -> None:
        """Open the browsers. Ends the worker with one sentence where that cannot be done."""
        if self.browser is None:
            return
        from workers.worker_telemetry import WorkerTelemetry  # a worker without a browser lacks what it needs

        self._announce_start(w.app)
        log.info("opening browser: browser=%s sessions=%s", self.browser, self.n_sessions)
        try:
            self.runner = self.build_runner(w, self.browser)
            w.pool.before_end = lambda: self._close_runner(w)
            self.telemetry = w.telemetry = WorkerTelemetry(w.app, w.hostname, self.browser, w.pool.loop)
            self.runner.observers.add(self.telemetry.observer)
            w.pool.loop.call(self.runner.open())
        except InferenceError as error:
            log.critical("browser unavailable: browser=%s error=%s", self.browser, error)
            self._close_runner(w)
            raise SystemExit(EXIT_FAILURE) from error
        bind_runner(self.telemetry.watch(self.runner))
        self.telemetry.open(w.app.amqp.queues.consume_from)
        self.collector = Collector(w.app)
        self.collector.start()
        w.pool.sizing = Sizing(self.runner, w.pool.loop, self.n_sessions, lambda n: self._resized(w, n))
        log.info("%s", self.runner)

    def _announce_start(self, app: WebinferApp) -> None:
        """Say that the queues will be served, so that no request is refused while the browsers start."""
        queues = [queue for queue in app.amqp.queues.consume_from if queue in BROWSER_OF]
        try:
            expect(app.redis, app.settings.redis_prefix, queues)
        except redis.RedisError as error:
            log.warning("start not announced: %s", error)

    def _slots(self, n_sessions: int) -> int:
        return count_slots(n_sessions, self.n_lanes, self._at_least)

    def _resized(self, w: Any, n_sessions: int) -> None:
        w.pool.set_limit(self._slots(n_sessions))
        w.consumer.call_soon(w.consumer._update_prefetch_count)

    def close(self, w: Any) -> None:
        """Only collect no more: what was taken in is still to be answered."""
        self._stop_collecting()

    def _stop_collecting(self) -> None:
        collector, self.collector = self.collector, None
        if collector is not None:
            collector.stop()

    def stop(self, w: Any) -> None:
        """Answer what is in flight within the grace time, hand back the rest, then close the browsers."""
        w.pool.stop()

    def terminate(self, w: Any) -> None:
        """Hand everything back, close the browsers."""
        w.pool.terminate()

    def _close_runner(self, w: Any) -> None:
        runner, self.runner = self.runner, None
        bind_runner(None)
        self._stop_collecting()
        if runner is None:
            return
        try:
            w.pool.loop.call(runner.close(), CLOSE_TIMEOUT_S)
        except Exception:
            log.exception("browsers not closed")
        if self.telemetry is not None:
            self.telemetry.close()

    def info(self, w: Any) -> dict[str, Any]:  # type: ignore[override]
        """Shown by `celery inspect stats`."""
        if self.browser is None:
            return {}
        return {"browser": str(self.browser), "lanes": self.n_lanes}


class BrowserEvents(bootsteps.StartStopStep):
    """Publishes `browser-health` and `model-health` events, and gives the lease renewer its channel."""

    requires = ("celery.worker.consumer.events:Events", "celery.worker.consumer.tasks:Tasks")

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self._timer: Any = None

    def start(self, c: Any) -> None:
        """After every (re)connection."""
        c.controller.leases.hold(c.task_consumer.channel)
        turn = Turn("health events", lambda: publish_health(c))
        self._timer = c.timer.call_repeatedly(HEALTH_INTERVAL_S, turn)

    def stop(self, c: Any) -> None:
        """Publish no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


def publish_health(c: Any) -> None:
    """Send one event for each session of this worker, and one with the models that fail in it."""
    runner: Runner | None = bound_runner()
    if runner is None or not c.event_dispatcher or not c.event_dispatcher.enabled:
        return
    status = runner.status()
    for session in status.sessions:
        c.event_dispatcher.send("browser-health", **session.to_wire())
    c.event_dispatcher.send("model-health", **FailingModels(status.failing_models).to_wire())
