"""Greedy tokens of every backend beside those of WebAssembly in Chromium; a run can be taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.models.store import ModelStore
from webinfer.bench.quality.measuring import BUILTIN, open_pool
from webinfer.bench.quality.original import Tell
from webinfer.bench.quality.page import ANSWER_TOKENS, PROMPTS_AT_ONCE, PageModel
from webinfer.bench.quality.texts import read_paragraphs, read_questions

REFERENCE = (str(Browser.CHROME), str(Backend.WASM))


@dataclass(frozen=True, slots=True)
class Answers:
    """The greedy tokens of a batch of prompts on one backend."""

    model: str
    precision: str
    browser: str
    backend: str
    adapter: str
    kernel: str
    batch: int
    tokens: list[list[int]]

    @property
    def place(self) -> tuple[str, str]:
        """The browser and the backend."""
        return self.browser, self.backend


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many of the reference's tokens a backend gives, counted up to each answer's first difference."""

    browser: str
    backend: str
    adapter: str
    kernel: str
    n_tokens: int
    n_same: int

    @property
    def share(self) -> float:
        """The part of the tokens that are the same."""
        return self.n_same / max(self.n_tokens, 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of backends, as it was asked for."""

    model: str
    precision: Precision
    browsers: tuple[Browser, ...]
    n_tokens: int
    keep: Path | None = None
    """A file of finished batches: those in it are not computed again, new ones are added."""


def compare_backends(wanted: Comparison, tell: Tell) -> list[Agreement]:
    """Every backend of every browser, against the tokens of the reference."""
    kept = _read(wanted.keep)
    answers = [
        each
        for browser in dict.fromkeys((Browser.CHROME, *wanted.browsers))
        for each in asyncio.run(_ask_browser(wanted, browser, kept, tell))
    ]
    return agreements(answers)


def agreements(answers: Sequence[Answers]) -> list[Agreement]:
    """The agreement of every place but the reference, over the batches that both have."""
    reference = {each.batch: each.tokens for each in answers if each.place == REFERENCE}
    others = [each for each in answers if each.place != REFERENCE and each.batch in reference]
    found = []
    for place in dict.fromkeys(each.place for each in others):
        batches = [each for each in others if each.place == place]
        pairs = [pair for each in batches for pair in zip(reference[each.batch], each.tokens, strict=True)]
        n_same = sum(count_same(*pair) for pair in pairs)
        first = batches[0]
        figures = (sum(len(right) for right, _ in pairs), n_same)
        found.append(Agreement(*place, first.adapter, first.kernel, *figures))
    return found


def count_same(right: list[int], tokens: list[int]) -> int:
    """The tokens up to the first difference."""
    return sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(right, tokens, strict=False)))


def _read(path: Path | None) -> list[Answers]:
    """The batches in a file. Raises BadRequest where it is none of ours."""
    if path is None or not path.exists():
        return []
    try:
        return [Answers(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise BadRequest(f"{path} holds no batches of an earlier run: {error}") from error


async def _ask_browser(
    wanted: Comparison, browser: Browser, kept: Sequence[Answers], tell: Tell
) -> list[Answers]:
    """The answers of a browser, on each of its backends that has kernels of ours."""
    async with open_pool(browser, ModelStore()) as pool:
        model = await asyncio.to_thread(pool.store.ensure, wanted.model, wanted.precision)
        can = pool.sessions[0].capabilities
        found: list[Answers] = []
        for backend in filter(can.can, (Backend.WASM, Backend.WEBGPU)):
            here = (wanted.model, str(wanted.precision), str(browser), str(backend))
            old = {each.batch: each for each in kept if (each.model, each.precision, *each.place) == here}
            paged = PageModel(pool, model, wanted.precision, backend)
            found += await _ask_backend(wanted, paged, here, old, tell)
        return found


async def _ask_backend(
    wanted: Comparison, paged: PageModel, here: tuple[str, str, str, str], old: dict[int, Answers], tell: Tell
) -> list[Answers]:
    """One batch after another, until there are as many tokens as are wanted."""
    prompts, found, n_tokens = _prompts(wanted.model), [], 0
    adapter = paged.pool.sessions[0].capabilities.adapter(paged.backend).name
    for batch in range(-(-len(prompts) // PROMPTS_AT_ONCE)):
        if n_tokens >= wanted.n_tokens:
            break
        tell(f"{here[2]}, {paged.backend}", n_tokens, wanted.n_tokens)
        answers = old.get(batch)
        if answers is None:
            some = prompts[batch * PROMPTS_AT_ONCE :][:PROMPTS_AT_ONCE]
            reply = await paged.pool.run(paged.request(some, max_new_tokens=ANSWER_TOKENS))
            tokens = [output["tokens"] for output in reply.output]
            answers = Answers(*here, adapter, reply.kernel, batch, tokens)
            if wanted.keep is not None:
                with wanted.keep.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(asdict(answers)) + "\n")
        found.append(answers)
        n_tokens += sum(map(len, answers.tokens))
    return found


def _prompts(model: str) -> list[Any]:
    """Questions for the built-in model, each kind in turn; beginnings of paragraphs for any other."""
    if model != BUILTIN:
        return list(read_paragraphs())
    questions = sorted(enumerate(read_questions()), key=lambda pair: pair[0] % 100)
    return [[{"role": "user", "content": question.text}] for _, question in questions]
