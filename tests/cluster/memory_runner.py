"""A runner without browsers that speaks the real messages, and a worker step that binds it.

A request's options steer it: `sleep_s`, `fail` (an error's name), `fail_on` (a browser: only there), `exit`
(the process ends, as if killed), `large` and `long` (how many numbers or letters an output holds), `speak`
(words that are generated one by one), `until` (the path of a file that it waits for before it answers, or
behind the fourth word; there the process ends where the file `MEMORY_RUNNER_DIES` is not there yet).
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BY_CODE
from browser_runtime.contract.events import PoolObservers
from browser_runtime.contract.messages import Adapter, Reply, Request
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.options import COMMON_OPTIONS
from browser_runtime.contract.pieces import Piece, PieceMemory, PieceSink
from browser_runtime.contract.status import PoolStatus, SessionStatus
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.pool.health.model_breakers import ModelBreakers
from tests.cluster.steering import STEERING, WAITS_BEHIND, word
from workers.steps import BrowserPool

COMMON_OPTIONS.update(STEERING)


class MemoryRunner:
    """Answers with the mean of each array, or the length of each text."""

    def __init__(self, browser: str, n_sessions: int) -> None:
        self.browser, self.n_sessions = browser, n_sessions
        self.n_running = self.most_running = 0
        self.seen: list[str] = []
        self.opened = self.closed = False
        self.models = ModelBreakers()
        self.observers = PoolObservers()

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.closed = True
        write("closed")

    async def run(self, request: Request, pieces: PieceSink | None = None) -> Reply:
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        try:
            with self.models.counting(ModelKey.of(request.model_name, "1", None, request.precision)):
                self._fail_as_asked(request)
                if (words := request.options.get("speak")) is not None:
                    return await self._speak(request, int(words), pieces or PieceMemory())
                return await self._answer(request)
        finally:
            self.n_running -= 1

    async def _speak(self, request: Request, n_words: int, pieces: PieceSink) -> Reply:
        """Word number n is token n. What an earlier run has said is said again without any pause."""
        earlier = pieces.begin()
        write(f"speak behind {len(earlier)}")
        for number in range(n_words):
            pieces.put(Piece((number,), word(number)))
            if number < len(earlier):
                continue
            await asyncio.sleep(float(request.options.get("sleep_s", 0)))
            write(f"said {number}")
            if number == WAITS_BEHIND:
                await _wait_for(request.options.get("until"))
                _die_once(os.environ.get("MEMORY_RUNNER_DIES"))
        reply = await self._answer(replace(request, options={}))
        return replace(reply, output={"text": "".join(map(word, range(n_words)))})

    def _fail_as_asked(self, request: Request) -> None:
        on = request.options.get("fail_on", self.browser)
        if (name := request.options.get("fail")) and on == self.browser:
            raise BY_CODE[str(name)]("the session", "as asked")

    async def _answer(self, request: Request) -> Reply:
        self.seen.append(request.model_name)
        write(f"run {request.model_name}")
        await asyncio.sleep(float(request.options.get("sleep_s", 0)))
        await _wait_for(request.options.get("until"))
        if request.options.get("exit"):
            os._exit(9)
        outputs = [_output(item) for item in next(iter(request.inputs.values()))]
        if request.options.get("large"):
            outputs = [np.arange(int(request.options["large"]), dtype=np.float32) for _ in outputs]
        if request.options.get("long"):
            outputs = [{"text": "x" * int(request.options["long"])} for _ in outputs]
        return Reply(
            success=True,
            model_name=request.model_name,
            model_type=str(request.family),
            output=outputs[0] if request.single else outputs,
            browser=self.browser,
            browser_build="no browser at all",
            platform="wasm",
            backend="wasm",
            adapter=Adapter("CPU", software=True),
            precision=str(request.precision),
            inference_time_ms=0.1,
            routing={"session": "memory-1"},
        )

    async def echo(self, value: Any) -> Any:
        return value

    async def resize(self, n_sessions: int) -> int:
        self.n_sessions = n_sessions
        return n_sessions

    def status(self) -> PoolStatus:
        browser = Browser(self.browser)
        sessions = (SessionStatus(f"memory-{n}", browser) for n in range(1, self.n_sessions + 1))
        return PoolStatus(browser, sessions=tuple(sessions), failing_models=self.models.failing())


async def _wait_for(path: Any) -> None:
    while path and not _is_there(path):  # noqa: ASYNC110  # another process makes it: nobody tells
        await asyncio.sleep(0.02)


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _die_once(mark: str | None) -> None:
    if mark and not _is_there(mark):
        Path(mark).touch()
        os._exit(9)


def write(line: str) -> None:
    """Append to the log that the test reads, when it wants one."""
    if log := os.environ.get("MEMORY_RUNNER_LOG"):
        with Path(log).open("a") as file:
            file.write(line + "\n")


def _output(item: Any) -> Any:
    if isinstance(item, str):
        return {"embedding": np.full(3, len(item), dtype=np.float32), "text": item.upper()}
    return {"mean": float(np.mean(item)), "shape": list(item.shape), "text": "heard"}


class MemoryBrowsers(BrowserPool):
    """The browser step with a runner in memory."""

    name = "webinfer.BrowserPool"

    def build_runner(self, w: Any, browser: Any) -> MemoryRunner:
        return MemoryRunner(str(browser), self.n_sessions)
