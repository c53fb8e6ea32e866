"""The added pages: each as a page, as the part of it that is fetched again and again, and as JSON."""

from __future__ import annotations

import json
from typing import Any

import prometheus_client
import tornado.web
from flower.views import BaseHandler

from scheduler.monitor.performance import DEFAULT_SPAN_H, SPANS
from scheduler.monitor.sessions import summarise

# Nothing from elsewhere, no script or style inside a page; Flower's style sheet holds pictures as data.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Page(BaseHandler):  # type: ignore[misc]  # Flower has no types
    """The template `<name>.html`, which holds `<name>_live.html`; `?live=1` gives that part alone."""

    name = ""

    def set_default_headers(self) -> None:
        """Flower's, and a policy that keeps a hostile name from ever being a script."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")

    async def values(self) -> dict[str, Any]:
        """What the page shows, as plain values."""
        raise NotImplementedError

    @tornado.web.authenticated
    async def get(self) -> None:
        """The page, or its live part."""
        part = "_live" if self.get_query_argument("live", "") else ""
        self.render(f"{self.name}{part}.html", **await self.values())

    def span_h(self) -> int:
        """The span asked for with `?hours=`. Answers 400 to others than the page offers."""
        asked = self.get_query_argument("hours", str(DEFAULT_SPAN_H))
        if asked not in {str(hours) for hours in SPANS}:
            raise tornado.web.HTTPError(400, f"hours must be one of {', '.join(map(str, SPANS))}")
        return int(asked)


class AsJson(Page):
    """The same values as JSON."""

    @tornado.web.authenticated
    async def get(self) -> None:
        """The values."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(json.dumps(await self.values()))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One sentence; the login prompt where that is what is missing."""
        if status_code == 401:
            super().write_error(status_code, **kwargs)
            return
        error = (kwargs.get("exc_info") or (None, None))[1]
        text = error.get_message() if isinstance(error, tornado.web.HTTPError) else ""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(json.dumps({"error": text or self._reason}))


class Browsers(Page):
    """Every session of every worker: health, breaker, models, memory, adapter."""

    name = "browsers"

    async def values(self) -> dict[str, Any]:
        """`summary` and `sessions`."""
        rows = self.application.session_rows()
        return {"summary": summarise(rows), "sessions": rows}


class Queues(Page):
    """Depth, workers, and what autoscaling decided, with its reasons."""

    name = "queues"

    async def values(self) -> dict[str, Any]:
        """See `QueueReader.read`; `problem` where Redis is away."""
        return dict(await self.application.read_queues())


class PerformancePage(Page):
    """Latencies over time, and the changes found in them."""

    name = "performance"

    async def values(self) -> dict[str, Any]:
        """See `performance.Performance.read`."""
        performance = await self.application.performance.read(self.span_h())
        return {**performance, "spans": list(SPANS)}


class BrowsersJson(AsJson, Browsers):
    """/api/browsers"""


class QueuesJson(AsJson, Queues):
    """/api/queues"""


class PerformanceJson(AsJson, PerformancePage):
    """/api/performance"""


class Metrics(BaseHandler):  # type: ignore[misc]
    """Flower's own gauges and ours, behind the same login; Flower leaves its own open."""

    @tornado.web.authenticated
    async def get(self) -> None:
        """Prometheus' text format."""
        self.application.purge_offline_worker_metrics()
        await self.application.refresh_gauges()
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.finish(prometheus_client.generate_latest())
