"""Serves the page of the baseline as plain servers do: without isolation, and so without threads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from browser_runtime.link.http_server import PAGE_FOLDER
from browser_runtime.models.store import BUILTIN_FOLDER

FOLDER = Path(__file__).parent / "baseline"


@asynccontextmanager
async def baseline_server(*, isolated: bool = False) -> AsyncIterator[str]:
    """Serve the page; yields its address. `isolated` adds the headers that WebAssembly threads need."""
    app = web.Application()
    app.router.add_static("/npm/", PAGE_FOLDER / "node_modules", follow_symlinks=True)
    app.router.add_static("/models/", BUILTIN_FOLDER)
    app.router.add_static("/", FOLDER)
    if isolated:
        app.on_response_prepare.append(isolate)
    async with serve(app) as address:
        yield address


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    """Serve `app` on loopback; yields the address of its page."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/index.html"
    finally:
        await runner.cleanup()


async def isolate(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
