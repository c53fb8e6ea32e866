"""Flower with the added pages. Holds every place where we reach into Flower; tests pin each of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import redis
import tornado.web
from celery.utils.log import get_logger
from flower.app import Flower, rewrite_handler
from kombu.exceptions import OperationalError
from prometheus_client import REGISTRY
from tornado.web import url

from scheduler.monitor import pages
from scheduler.monitor.access import find_exposure, find_intrusion
from scheduler.monitor.failing_models import FailingModelRow, ModelBook
from scheduler.monitor.gauges import Figures, MonitorCollector
from scheduler.monitor.loader import TwoFolderLoader
from scheduler.monitor.performance import Measurements, Performance, Rows
from scheduler.monitor.queues import Board, QueueReader
from scheduler.monitor.sessions import SessionBook, SessionRow
from scheduler.monitor.task_list import TaskRows, TaskSearch

log = get_logger(__name__)

STATIC = {"path": str(Path(__file__).parent / "static")}
# Redis is read at most so often, however many pages are open.
QUEUES_TTL_S = 1.0
# A worker that comes up may answer only a few seconds later.
ASK_EVERY_S, MAX_ASKED = 5.0, 5
# The span whose newest values are gauges.
GAUGES_SPAN_H = 1

# A query takes milliseconds; without an analytics worker nothing is gained by waiting longer.
HISTORY_TIMEOUT_S = 10.0


class Monitor(Flower):  # type: ignore[misc]  # Flower has no types
    """The tornado application of `celery webinfer-flower`."""

    def __init__(self, options: Any = None, capp: Any = None, **settings: Any) -> None:
        settings["template_loader"] = TwoFolderLoader(settings["template_path"])
        settings["compress_response"] = True  # 500 sessions are 380 KB, fetched every five seconds
        super().__init__(options=options, capp=capp, **settings)
        self.sessions, self.models = SessionBook(), ModelBook()
        self.performance = Performance(self._ask)
        self.task_search = self.events.state.search_engine = TaskSearch(self.events.state)
        self._reader = QueueReader(self.capp.settings)
        self._board, self._read_at = Board(), -QUEUES_TTL_S
        self._gauged: Measurements | None = None
        self._asked: Counter[str] = Counter()
        self._asked_at = 0.0
        self._add_pages()
        self.add_transform(pages.SafeHeaders)
        self._listen()
        REGISTRY.register(MonitorCollector(self._figures))

    # --- Flower's own parts

    def start_http_server(self) -> Any:
        """Listen, unless that would let in anybody. Raises UsageError, also where the address is taken."""
        options = self.options
        exposure = find_exposure(options.address, options.unix_socket, options.basic_auth or (), options.auth)
        if exposure:
            raise click.UsageError(exposure)
        try:
            return super().start_http_server()
        except OSError as error:
            where = options.unix_socket or f"{options.address}:{options.port}"
            raise click.UsageError(
                f"cannot listen on {where}: {error.strerror}; choose another --port"
            ) from error

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """Flower's handler; one that refuses where a page of another site asks and no login keeps it out."""
        options = self.options
        if not (options.basic_auth or options.auth or options.unix_socket):
            reason = find_intrusion(request.host, request.headers.get("Origin"))
            if reason:
                return self.get_handler_delegate(request, pages.Refused, {"reason": reason})
        return super().find_handler(request, **kwargs)

    def stop(self) -> None:
        """Stop Flower and close our connections."""
        super().stop()
        self._reader.close()

    def _add_pages(self) -> None:
        """Put our rules first: Flower's last takes everything, and its /metrics asks for no login."""
        rules = [
            url(r"/browsers", pages.Browsers, name="browsers"),
            url(r"/queues", pages.Queues, name="queues"),
            url(r"/performance", pages.PerformancePage, name="performance"),
            url(r"/tasks/datatable", TaskRows),
            url(r"/api/browsers", pages.BrowsersJson),
            url(r"/api/queues", pages.QueuesJson),
            url(r"/api/performance", pages.PerformanceJson, name="performance_json"),
            url(r"/metrics", pages.Metrics),
            url(r"/monitor/static/(.*)", tornado.web.StaticFileHandler, STATIC, name="monitor"),
        ]
        if self.options.url_prefix:
            rules = [rewrite_handler(rule, self.options.url_prefix) for rule in rules]
        router = self.wildcard_router
        n_before = len(router.rules)
        router.add_rules(rules)
        router.rules[:] = router.rules[n_before:] + router.rules[:n_before]

    def _listen(self) -> None:
        """Hear every event after Flower's own state did."""
        state = self.events.state
        hear_first = state.event

        def event(event: Mapping[str, Any]) -> Any:
            answer = hear_first(event)
            self._hear(event)
            return answer

        state.event = event

    def _hear(self, event: Mapping[str, Any]) -> None:
        kind, worker = event["type"], event["hostname"]
        if kind == "browser-health":
            self.sessions.hear(event, time.monotonic())
        elif kind == "model-health":
            self.models.hear(event, time.monotonic())
        elif kind == "worker-offline":
            self.sessions.leave(worker)
            self.models.leave(worker)
            self._asked.pop(worker, None)
        elif kind in ("worker-online", "worker-heartbeat"):
            self._get_to_know(worker)

    def _get_to_know(self, worker: str) -> None:
        """Ask for the queues of a worker that came after us; one that does not answer is left alone."""
        known = "active_queues" in self.workers.get(worker, {})
        if not known and self._asked[worker] < MAX_ASKED and time.monotonic() - self._asked_at > ASK_EVERY_S:
            self._asked[worker] += 1
            self._asked_at = time.monotonic()
            self.update_workers()  # all at once: a hundred new workers cost as much as one

    # --- what the pages show

    def session_rows(self) -> list[SessionRow]:
        """Every browser session."""
        return self.sessions.rows(time.monotonic())

    def failing_models(self) -> list[FailingModelRow]:
        """The models that fail in any worker."""
        return self.models.rows(time.monotonic())

    async def read_queues(self) -> Board:
        """The queues, at most QUEUES_TTL_S old; with `problem` where Redis is away."""
        if time.monotonic() - self._read_at < QUEUES_TTL_S:
            return self._board
        consumed = self._consumed()
        names = {queue.name for queue in self.capp.amqp.queues.values()}.union(*consumed.values())
        try:
            self._board = await self.io_loop.run_in_executor(
                None, partial(self._reader.read, names, consumed)
            )
        except (redis.RedisError, OperationalError) as error:
            log.warning("the queues cannot be read: %s", error)
            self._board = replace(self._board, problem=f"the queues cannot be read: {error}")
        self._read_at = time.monotonic()
        return self._board

    def _consumed(self) -> dict[str, list[str]]:
        """Returns the queues of each live worker, by its latest answer."""
        alive = {name for name, worker in self.events.state.workers.items() if worker.alive}
        return {
            name: [queue["name"] for queue in worker.get("active_queues") or ()]
            for name, worker in self.workers.items()
            if name in alive
        }

    async def refresh_gauges(self) -> None:
        """Let the gauges show the state of now."""
        await self.read_queues()
        if self._gauged is None:  # only the first scrape waits for the history
            self._gauged = await self.performance.read(GAUGES_SPAN_H)
        else:
            self._gauged = self.performance.peek(GAUGES_SPAN_H)

    def _figures(self) -> Figures:
        return Figures(self.session_rows(), self.failing_models(), self._board, self._gauged)

    async def _ask(self, name: str, **params: float | None) -> Rows:
        """One named query of the history, answered by the analytics worker. Raises when none does."""
        from scheduler.history.asking import ask

        work = partial(ask, name, HISTORY_TIMEOUT_S, **params)
        found: Rows = await self.io_loop.run_in_executor(None, work)
        return found
