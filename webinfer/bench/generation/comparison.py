"""Opens every engine, runs them in turn, and once more with a busy process beside."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from browser_runtime.contract.errors import InferenceError, SetupError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.generation.browser import BenchPage, EngineFailed, PageRunner, open_page
from webinfer.bench.generation.figures import (
    NATIVE,
    OURS,
    TRANSFORMERS,
    WLLAMA,
    Arm,
    Figures,
    Group,
    Run,
    summarise,
)
from webinfer.bench.generation.peers import CONTEXT, NativeRunner, export_layout, fetch_wllama
from webinfer.bench.generation.subjects import Subject, Tell, open_subject

PEERS = (WLLAMA, TRANSFORMERS, NATIVE)
# The name that the layout for transformers.js is served under.
LAYOUT = "onnx-model"
ANSWER_TOKENS = 12
# Before anything counts: browsers compile WebAssembly a second time, for speed, while it runs.
WARM_ROUNDS = 2
# An engine that took as long in one phase runs no more in it: the slowest takes seconds a token.
PHASE_LIMIT_MS = 15_000
BUSY = "with a busy process, round"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be compared."""

    model: str
    browsers: Sequence[Browser]
    bits: Sequence[int]
    threads: Sequence[int]
    rounds: int
    prompt_tokens: int
    new_tokens: int
    busy: bool


class Runner(Protocol):
    """An engine that is open."""

    async def answer(self, question: str, n_tokens: int) -> str:
        """The text that follows, by the likeliest tokens."""

    async def run(self, prompt: Sequence[int], n_tokens: int) -> Run:
        """One prompt, measured."""

    async def close(self) -> None:
        """Free what the engine holds."""


@dataclass
class Contender:
    """An arm with its engine, and what it has done so far."""

    arm: Arm
    runner: Runner | None = None
    answer: str = ""
    calm: list[Run] = field(default_factory=list)
    busy: list[Run] = field(default_factory=list)
    absent: str = ""
    latest: list[Run] = field(default_factory=list)
    """Runs of this phase."""
    spent_ms: float = 0.0

    @property
    def is_spent(self) -> bool:
        """True once the engine has had its time in this phase."""
        return self.spent_ms > PHASE_LIMIT_MS

    def start_phase(self) -> None:
        """Forget the warm-up, or what was kept."""
        self.latest, self.spent_ms = [], 0.0

    def add(self, run: Run, new_tokens: int) -> None:
        """Count a run."""
        self.latest.append(run)
        self.spent_ms += run.prefill_ms + run.decode_ms * new_tokens

    def keep(self, phase: str) -> None:
        """Keep the runs of a phase that counts."""
        if phase == BUSY:
            self.busy = self.latest
        else:
            self.calm = self.latest

    def result(self, subject: Subject) -> Figures:
        """Figures of the arm, or why there are none."""
        if self.absent:
            return Figures(self.arm, absent=self.absent)
        return summarise(self.arm, self.calm, self.busy, self.answer, subject.answer in self.answer)


def measure_generation(wish: Comparison, tell: Tell) -> list[Group]:
    """Every arm in every browser; those of one browser, and native llama.cpp, in one interleaved run.

    Raises BadInput, SetupError for weights that cannot be had, BrowserDied.
    """
    cache = RuntimeSettings().cache_dir / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    subject = open_subject(wish.model, wish.bits, cache, tell)
    return [asyncio.run(_measure_browser(wish, subject, browser, cache, tell)) for browser in wish.browsers]


async def _measure_browser(
    wish: Comparison, subject: Subject, browser: Browser, cache: Path, tell: Tell
) -> Group:
    folders, absent = _find_folders(subject, cache, tell)
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(open_page(browser, folders))
        contenders: list[Contender] = []
        stack.push_async_callback(_close_all, contenders)
        async for contender in _open_all(wish, subject, page, absent, tell):
            contenders.append(contender)
        await _run_all(wish, subject, contenders, tell)
        return Group(page.build, [contender.result(subject) for contender in contenders])


def _find_folders(subject: Subject, cache: Path, tell: Tell) -> tuple[dict[str, Path], dict[str, str]]:
    """The folders that the page reads, and the engines that cannot run, with their reasons."""
    folders = {f"packed-{bits}": folder for bits, folder in subject.packed.items()}
    if subject.gguf is None:
        return folders, dict.fromkeys(PEERS, f"there is no GGUF file of {subject.name}")
    folders["gguf"] = subject.gguf.parent
    absent = {}
    fetches: dict[str, tuple[str, Callable[[], Path]]] = {
        WLLAMA: ("wllama", lambda: fetch_wllama(cache, tell)),
        TRANSFORMERS: (LAYOUT, lambda: export_layout(subject, cache, tell)),
    }
    for engine, (name, fetch) in fetches.items():
        try:
            folders[name] = fetch()
        except SetupError as error:
            absent[engine] = str(error)
    return folders, absent


async def _close_all(contenders: Sequence[Contender]) -> None:
    for contender in contenders:
        if contender.runner is not None:
            await contender.runner.close()


async def _open_all(
    wish: Comparison, subject: Subject, page: BenchPage, absent: dict[str, str], tell: Tell
) -> AsyncIterator[Contender]:
    """Every arm of a browser, and native llama.cpp."""
    for threads in wish.threads:
        for bits in wish.bits:
            reason = "" if threads == 1 else "its kernels compute on one thread"
            arm = Arm(OURS, f"{bits} bits", threads)
            yield await _open_in_page(subject, page, arm, reason, {"url": f"/packed-{bits}/"}, tell)
        options = {"threads": threads, "context": CONTEXT, "folder": LAYOUT}
        if subject.gguf is not None:
            options["url"] = f"/gguf/{subject.gguf.name}"
        for engine, weights in ((WLLAMA, "Q4_1"), (TRANSFORMERS, "q4")):
            arm = Arm(engine, weights, threads)
            yield await _open_in_page(subject, page, arm, absent.get(engine, ""), options, tell)
        yield _open_native(subject, Arm(NATIVE, "Q4_1", threads), absent.get(NATIVE, ""), tell)


async def _open_in_page(
    subject: Subject, page: BenchPage, arm: Arm, absent: str, options: dict[str, Any], tell: Tell
) -> Contender:
    if absent:
        return Contender(arm, absent=absent)
    tell(f"opening {_name(arm)}")
    runner = PageRunner(page, subject, _name(arm))
    try:
        await runner.open(arm.engine, options)
        return Contender(arm, runner, await runner.answer(subject.question, ANSWER_TOKENS))
    except EngineFailed as error:
        return Contender(arm, absent=str(error))


def _open_native(subject: Subject, arm: Arm, absent: str, tell: Tell) -> Contender:
    if absent:
        return Contender(arm, absent=absent)
    tell(f"opening {_name(arm)}")
    try:
        return Contender(arm, NativeRunner(subject, arm.threads))
    except InferenceError as error:
        return Contender(arm, absent=str(error))


async def _run_all(wish: Comparison, subject: Subject, contenders: Sequence[Contender], tell: Tell) -> None:
    """Warm up, then every round through all engines; drift of the machine affects all alike."""
    there = [contender for contender in contenders if contender.runner is not None]
    number = 0
    with ExitStack() as neighbours:
        for title, rounds in (("warming up", WARM_ROUNDS), ("round", wish.rounds), (BUSY, wish.rounds)):
            if title == BUSY and wish.busy:
                neighbours.enter_context(_busy_process())
            for contender in there:
                contender.start_phase()
            for k in range(rounds if title != BUSY or wish.busy else 0):
                tell(f"{title} {k + 1} of {rounds}")
                for contender in there:
                    await _run_once(wish, subject, contender, number)
                number += 1
            for contender in there:
                contender.keep(title)


async def _run_once(wish: Comparison, subject: Subject, contender: Contender, number: int) -> None:
    """One run; an engine that fails is out, with its reason, and a slow one runs less often."""
    runner = contender.runner
    if contender.absent or runner is None or contender.is_spent:
        return
    try:
        if not contender.answer:
            contender.answer = await runner.answer(subject.question, ANSWER_TOKENS)
        prompt = subject.prompt(number, wish.prompt_tokens)
        contender.add(await runner.run(prompt, wish.new_tokens), wish.new_tokens)
    except EngineFailed as error:
        contender.absent = str(error)


@contextmanager
def _busy_process() -> Iterator[None]:
    """A process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _name(arm: Arm) -> str:
    return f"{arm.engine}, {arm.weights}, {arm.threads} thread{'s' if arm.threads > 1 else ''}"
