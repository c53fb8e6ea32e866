"""The added pages: each as a page, as the part of it that is fetched again and again, and as JSON."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from typing import Any

import prometheus_client
import tornado.httputil
import tornado.web
from flower.views import BaseHandler

from scheduler.monitor.performance import SPANS
from scheduler.monitor.sessions import summarise

# Nothing from elsewhere, no script or style inside a page; Flower's style sheet holds pictures as data.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class SafeHeaders(tornado.web.OutputTransform):
    """Gives every answer, Flower's too, a content policy and keeps it out of frames."""

    def __init__(self, request: tornado.httputil.HTTPServerRequest) -> None:
        # Read by Flower's template of workers, see loader.py.
        self._nonce = request.nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]
        super().__init__(request)

    def transform_first_chunk(
        self, status_code: int, headers: tornado.httputil.HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, tornado.httputil.HTTPHeaders, bytes]:
        """The same answer with both headers."""
        headers["X-Frame-Options"] = "DENY"
        if "Content-Security-Policy" not in headers:
            # Flower's own pages and its library of tables set styles inside the page.
            mine = f"script-src 'self' 'nonce-{self._nonce}'; style-src 'self' 'unsafe-inline'"
            headers["Content-Security-Policy"] = f"{POLICY}; {mine}"
        return status_code, headers, chunk


class Refused(tornado.web.RequestHandler):
    """Answers 403 and says why."""

    def initialize(self, reason: str) -> None:
        """Called by tornado with the reason."""
        self.reason = reason

    def prepare(self) -> None:
        """Answer, whatever the method."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(f"{self.reason}\n")


class Page(BaseHandler):  # type: ignore[misc]  # Flower has no types
    """The template `<name>.html`, which holds `<name>_live.html`; `?live=1` gives that part alone."""

    name = ""

    def set_default_headers(self) -> None:
        """Set Flower's, and a policy that keeps a hostile name from ever being a script."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")

    async def values(self) -> dict[str, object]:
        """The values that the template shows."""
        raise NotImplementedError

    @tornado.web.authenticated
    async def get(self) -> None:
        """Send the page, or its live part."""
        part = "_live" if self.get_query_argument("live", "") else ""
        self.render(f"{self.name}{part}.html", **await self.values())


class AsJson(Page):
    """The same values as JSON."""

    @tornado.web.authenticated
    async def get(self) -> None:
        """Send the values."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        # Values are plain, or dataclasses of plain values.
        self.finish(json.dumps(await self.values(), default=asdict))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send one sentence; the login prompt where a login is missing."""
        if status_code == 401:
            super().write_error(status_code, **kwargs)
            return
        error = (kwargs.get("exc_info") or (None, None))[1]
        text = error.get_message() if isinstance(error, tornado.web.HTTPError) else ""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(json.dumps({"error": text or self._reason}))


class Browsers(Page):
    """Every session of every worker: health, breaker, models, memory, adapter; and the models that fail."""

    name = "browsers"

    async def values(self) -> dict[str, object]:
        """`summary`, `sessions` and `failing_models`."""
        rows = self.application.session_rows()
        return {
            "summary": summarise(rows),
            "sessions": rows,
            "failing_models": self.application.failing_models(),
        }


class Queues(Page):
    """Depth, workers, and the decisions of autoscaling with their reasons."""

    name = "queues"

    async def values(self) -> dict[str, object]:
        """`board`; its `problem` says where Redis is away."""
        return {"board": await self.application.read_queues()}


class PerformancePage(Page):
    """Latencies over time, and the changes found in them."""

    name = "performance"

    @tornado.web.authenticated
    async def get(self) -> None:
        """Send the page; where no span is asked for, the reader goes to one that has data."""
        if not self.get_query_argument("hours", ""):
            span_h = await self.application.performance.opening_span()
            self.redirect(f"{self.reverse_url('performance')}?hours={span_h}")
            return
        await super().get()  # type: ignore[misc]  # tornado allows handlers that are not coroutines

    async def span_h(self) -> int:
        """The span of `?hours=`, else one that has data. Answers 400 to others than the page offers."""
        asked = self.get_query_argument("hours", "")
        if not asked:
            return int(await self.application.performance.opening_span())
        if asked not in {str(hours) for hours in SPANS}:
            raise tornado.web.HTTPError(400, f"hours must be one of {', '.join(map(str, SPANS))}")
        return int(asked)

    async def values(self) -> dict[str, object]:
        """`measurements`, and the `spans` that are offered."""
        measurements = await self.application.performance.read(await self.span_h())
        return {"measurements": measurements, "spans": list(SPANS)}


class BrowsersJson(AsJson, Browsers):
    """/api/browsers"""


class QueuesJson(AsJson, Queues):
    """/api/queues"""

    async def values(self) -> dict[str, object]:
        """The fields of the board."""
        return asdict(await self.application.read_queues())


class PerformanceJson(AsJson, PerformancePage):
    """/api/performance"""

    async def values(self) -> dict[str, object]:
        """The fields of the measurements, and `spans`."""
        measurements = await self.application.performance.read(await self.span_h())
        return {**asdict(measurements), "spans": list(SPANS)}


class Metrics(BaseHandler):  # type: ignore[misc]
    """Flower's own gauges and ours, behind the same login; Flower leaves its own open."""

    @tornado.web.authenticated
    async def get(self) -> None:
        """Send Prometheus' text format."""
        self.application.purge_offline_worker_metrics()
        await self.application.refresh_gauges()
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.finish(prometheus_client.generate_latest())
