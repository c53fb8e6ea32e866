"""The basic test: every built-in model answers its examples right, one by one and all at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration
from tests.exercises.questions import MODELS, Question, read_questions


@dataclass(frozen=True, slots=True)
class Answered:
    """One question and what came of it."""

    question: Question
    result: dict[str, Any]

    @property
    def mismatch(self) -> str:
        """What is wrong; empty where it is right."""
        return self.question.mismatch(self.result)


@dataclass(frozen=True, slots=True)
class Basic:
    """What the basic test came to."""

    alone: list[Answered]
    together: list[Answered]
    alone_s: float
    together_s: float
    metrics: dict[str, Any]

    @property
    def mismatches(self) -> list[str]:
        """Everything that is wrong."""
        return [done.mismatch for done in (*self.alone, *self.together) if done.mismatch]


async def run_basic() -> Basic:
    """Ask every question by itself, then all side by side; inside this loop, as the guide does."""
    async with ResourcePoolBridgeIntegration(max_connections=3) as integration:
        models = {name: await integration.get_model(kind, name) for name, kind in MODELS.items()}
        work = [(models[q.model_name], q) for name in MODELS for q in read_questions(name)]
        alone, alone_s = _timed(lambda: [model(question.inputs) for model, question in work])
        pairs: list[tuple[PooledModel, Any]] = [(model, question.inputs) for model, question in work]
        together, together_s = _timed(lambda: integration.execute_concurrent_sync(pairs))
        questions = [question for _, question in work]
        return Basic(
            list(map(Answered, questions, alone)),
            list(map(Answered, questions, together)),
            alone_s,
            together_s,
            integration.get_metrics(),
        )


def _timed(work: Any) -> tuple[list[dict[str, Any]], float]:
    start = time.monotonic()
    results = work()
    return results, time.monotonic() - start


def print_basic(console: Console, basic: Basic) -> None:
    """A line for each question, and what both ways of asking took."""
    table = Table("model", "question", "answer", "browser", "backend", "compute ms", "total ms")
    for done in basic.alone:
        found = done.result
        place = (found["browser_build"], found["backend"])
        times = (f"{found['inference_time_ms']:.1f}", f"{found['total_time_ms']:.1f}")
        table.add_row(found["model_name"], _short(done.question), done.mismatch or "right", *place, *times)
    console.print(table)
    n, right = len(basic.alone), "[green]all right" if not basic.mismatches else "[red]not all right"
    console.print(f"{n} questions one by one: {basic.alone_s:.2f} s; all at once: {basic.together_s:.2f} s")
    console.print(f"connections: {basic.metrics['connections']['browser_distribution']}; {right}[/]")


def _short(question: Question) -> str:
    return getattr(question.inputs, "name", question.inputs)
