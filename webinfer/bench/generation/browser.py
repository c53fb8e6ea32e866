"""One browser with the page of the comparison, in which engines are opened side by side and run in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.launching.drivers import Launched
from browser_runtime.launching.guardian import Guardian
from browser_runtime.launching.hosting import BrowserHost
from browser_runtime.link.http_server import PAGE_FOLDER
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.baseline_server import isolate, serve
from webinfer.bench.generation.figures import Run
from webinfer.bench.generation.subjects import Subject

FOLDER = Path(__file__).parent / "page"
TIMEOUT_S = 240.0
SCRIPT = """const [method, args, done] = arguments;
const fail = (error) => done({ error: error.message ?? String(error) });
bench[method](...args).then((value) => done({ value }), fail);"""


class EngineFailed(Exception):
    """An engine in the page failed, in its own words."""


class BenchPage:
    """The page in a running browser."""

    def __init__(self, launched: Launched, build: str) -> None:
        self._launched = launched
        self.build = build

    async def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the page answers. Raises EngineFailed."""
        args = list(arguments)
        told = await asyncio.to_thread(self._launched.call_script, SCRIPT, TIMEOUT_S, method, args)
        if "error" in told:
            raise EngineFailed(told["error"][:400])
        return told["value"]


@asynccontextmanager
async def open_page(browser: Browser, folders: dict[str, Path]) -> AsyncIterator[BenchPage]:
    """A browser with the page open; `folders` are served under their names."""
    settings = RuntimeSettings(simulation="never")
    guardian = Guardian()
    host = BrowserHost("generation", settings, guardian)
    try:
        installation = find_installation(browser, settings)
        launched = await host.launch(installation)
        async with _serve(folders) as address:
            await asyncio.to_thread(launched.open_page, address, TIMEOUT_S)
            yield BenchPage(launched, installation.build)
    finally:
        await host.end()
        guardian.close()


@asynccontextmanager
async def _serve(folders: dict[str, Path]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_static("/page/", PAGE_FOLDER)
    for name, folder in folders.items():
        app.router.add_static(f"/{name}/", folder)
    app.router.add_static("/", FOLDER)
    app.on_response_prepare.append(isolate)
    async with serve(app) as address:
        yield address


class PageRunner:
    """One engine in the page."""

    def __init__(self, page: BenchPage, subject: Subject, name: str) -> None:
        self._page, self._subject, self._name = page, subject, name

    async def open(self, engine: str, options: dict[str, Any]) -> None:
        """Load the engine and its weights. Raises EngineFailed."""
        await self._page.call("open", self._name, engine, options)

    async def answer(self, question: str, n_tokens: int) -> str:
        """The text that follows, by the likeliest tokens."""
        told = await self._ask(self._subject.encode(question), question, n_tokens)
        return str(told["text"] or self._subject.decode(told["tokens"]))

    async def run(self, prompt: Sequence[int], n_tokens: int) -> Run:
        """One prompt, measured. Raises EngineFailed where the engine read other tokens."""
        told = await self._ask(prompt, self._subject.decode(prompt), n_tokens)
        times = told["times_ms"]
        if (told["prompt_tokens"], len(times)) != (len(prompt), n_tokens):
            read, wrote = told["prompt_tokens"], len(times)
            raise EngineFailed(
                f"read {read} tokens and wrote {wrote} instead of {len(prompt)} and {n_tokens}"
            )
        return Run(times[0], (times[-1] - times[0]) / (len(times) - 1), len(prompt))

    async def _ask(self, tokens: Sequence[int], text: str, n_tokens: int) -> dict[str, Any]:
        told: dict[str, Any] = await self._page.call("run", self._name, list(tokens), text, n_tokens)
        return told

    async def close(self) -> None:
        """Nothing: an engine ends with its page."""
