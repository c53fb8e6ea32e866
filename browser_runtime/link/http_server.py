"""The loopback HTTP server of one pool: the page, its vendored packages, and model files with ranges.

Cross-origin isolation (COOP, COEP, CORP) is what gives pages WebAssembly threads; the content security
policy lets them run only what is served here and speak only to this machine.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from aiohttp import web

from browser_runtime.contract.errors import InferenceError
from browser_runtime.models.files.paths import ForeignFolder

PAGE_FOLDER = Path(__file__).parents[1] / "page"
PAGE_SUFFIXES = {".html", ".js", ".mjs", ".wasm", ".wgsl", ".json", ".onnx", ".map", ".css"}
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "worker-src 'self' blob:; connect-src 'self' ws://127.0.0.1:*; object-src 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Browsers refuse modules and streaming compilation under any other type; the system's table may lack them.
MEDIA_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
# Modules are few; model files are read once by each lane and never change under a name.
CACHE = {"page": "no-cache", "models": "private, max-age=3600"}


class Files(Protocol):
    """The part of the model store that the server needs: files of models."""

    def resolve_file(self, name: str, relative_path: str, version: str | None = None) -> Path:
        """The file on disk; raises InferenceError for anything that is not a model's."""


class PageServer:
    """One HTTP server on an ephemeral loopback port."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._runner: web.AppRunner | None = None
        self.origin = ""
        """`http://127.0.0.1:<port>` once open."""

    async def open(self, listening: socket.socket | None = None) -> None:
        """Listen with `listening`; without it on loopback, on a port the system picks."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/page/{path:.+}", self._page)
        app.router.add_get("/models/{path:.+}", self._model)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.SockSite(self._runner, listening or socket.create_server(("127.0.0.1", 0)))
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.origin = f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening and drop open connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer only requests addressed to this very origin: no DNS rebinding."""
        if request.host != self.origin.removeprefix("http://"):
            raise web.HTTPForbidden(text="wrong host")
        response = await handler(request)
        response.headers.update(HEADERS)
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        asked = request.match_info["path"]
        try:
            path = ForeignFolder.at(PAGE_FOLDER).find(asked)
        except ValueError:  # what leads elsewhere, or can be no file
            path = None
        if path is None or "node_modules" in asked.split("/") or path.suffix not in PAGE_SUFFIXES:
            raise web.HTTPNotFound(headers=HEADERS)
        return _file(path, CACHE["page"])

    async def _model(self, request: web.Request) -> web.StreamResponse:
        """`/models/<name>@<version>/<path>`, where a name has one part or two (`org/name`).

        With the version in its address, no browser takes a cached file for one of another model of that name.
        """
        name, _, rest = request.match_info["path"].partition("@")
        version, _, relative = rest.partition("/")
        try:
            return _file(self._files.resolve_file(name, relative, version), CACHE["models"])
        except InferenceError as error:
            raise web.HTTPNotFound(headers=HEADERS) from error


def _file(path: Path, cache: str) -> web.StreamResponse:
    if not path.is_file():
        raise web.HTTPNotFound(headers=HEADERS)
    headers = {"Cache-Control": cache}
    if path.suffix in MEDIA_TYPES:
        headers["Content-Type"] = MEDIA_TYPES[path.suffix]
    return web.FileResponse(path, chunk_size=1 << 20, headers=headers)
