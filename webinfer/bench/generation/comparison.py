"""Opens every engine, runs them in turn, and once more with a busy process beside."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
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
from webinfer.bench.generation.peers import CONTEXT, NativeRunner, fetch_wllama
from webinfer.bench.generation.subjects import Subject, Tell, open_subject

ANSWER_TOKENS = 12
# Before anything counts: browsers compile WebAssembly a second time, for speed, while it runs.
WARM_ROUNDS = 2


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
    folders = {f"packed-{bits}": folder for bits, folder in subject.packed.items()}
    no_wllama = _why_no_gguf(subject)
    if subject.gguf is not None:
        folders["gguf"] = subject.gguf.parent
        try:
            folders["wllama"] = fetch_wllama(cache, tell)
        except SetupError as error:
            no_wllama = str(error)
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(open_page(browser, folders))
        contenders: list[Contender] = []
        stack.push_async_callback(_close_all, contenders)
        async for contender in _open_all(wish, subject, page, no_wllama, tell):
            contenders.append(contender)
        await _run_all(wish, subject, contenders, tell)
        return Group(page.build, [contender.result(subject) for contender in contenders])


def _why_no_gguf(subject: Subject) -> str:
    return "" if subject.gguf else f"there is no GGUF file of {subject.name}"


async def _close_all(contenders: Sequence[Contender]) -> None:
    for contender in contenders:
        if contender.runner is not None:
            await contender.runner.close()


async def _open_all(
    wish: Comparison, subject: Subject, page: BenchPage, no_wllama: str, tell: Tell
) -> AsyncIterator[Contender]:
    """Every arm of a browser, and native llama.cpp."""
    for threads in wish.threads:
        for bits in wish.bits:
            arm = Arm(OURS, f"{bits} bits", threads)
            absent = "" if threads == 1 else "its kernels compute on one thread"
            yield await _open_in_page(subject, page, arm, absent, {"url": f"/packed-{bits}/"}, tell)
        arm = Arm(WLLAMA, "Q4_1", threads)
        options = {
            "url": f"/gguf/{subject.gguf and subject.gguf.name}",
            "threads": threads,
            "context": CONTEXT,
        }
        yield await _open_in_page(subject, page, arm, no_wllama, options, tell)
        arm = Arm(TRANSFORMERS, "q4", threads)
        yield Contender(arm, absent="no ONNX layout of these weights was built")
        yield _open_native(subject, Arm(NATIVE, "Q4_1", threads), tell)


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


def _open_native(subject: Subject, arm: Arm, tell: Tell) -> Contender:
    if subject.gguf is None:
        return Contender(arm, absent=_why_no_gguf(subject))
    tell(f"opening {_name(arm)}")
    try:
        return Contender(arm, NativeRunner(subject, arm.threads))
    except InferenceError as error:
        return Contender(arm, absent=str(error))


async def _run_all(wish: Comparison, subject: Subject, contenders: Sequence[Contender], tell: Tell) -> None:
    """Warm up, then every round through all engines; drift of the machine affects all alike."""
    there = [contender for contender in contenders if contender.runner is not None]
    for number in range(WARM_ROUNDS):
        tell(f"warming up, {number + 1} of {WARM_ROUNDS}")
        await _run_round(wish, subject, there, number)
    for number in range(wish.rounds):
        tell(f"round {number + 1} of {wish.rounds}")
        for contender, run in await _run_round(wish, subject, there, WARM_ROUNDS + number):
            contender.calm.append(run)
    if not wish.busy:
        return
    with _busy_process():
        for number in range(wish.rounds):
            tell(f"round {number + 1} of {wish.rounds}, with a busy process beside")
            for contender, run in await _run_round(wish, subject, there, WARM_ROUNDS + wish.rounds + number):
                contender.busy.append(run)


async def _run_round(
    wish: Comparison, subject: Subject, contenders: Sequence[Contender], number: int
) -> list[tuple[Contender, Run]]:
    """One run of each; an engine that fails is out, with its reason."""
    done = []
    for contender in contenders:
        if contender.absent or contender.runner is None:
            continue
        try:
            if not contender.answer:
                contender.answer = await contender.runner.answer(subject.question, ANSWER_TOKENS)
            run = await contender.runner.run(subject.prompt(number, wish.prompt_tokens), wish.new_tokens)
            done.append((contender, run))
        except EngineFailed as error:
            contender.absent = str(error)
    return done


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
