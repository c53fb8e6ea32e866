"""Two arms in turn, in blocks of fresh sessions, until the interval of their ratio is narrow enough."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.estimates import Interval, SequentialRatio, ratio_interval
from webinfer.bench.laboratory.sessions import ONCE, STEPS, ArmFailed, OpenArm, Start

Tell = Callable[[str], None]

# Of one block, both arms together; it ends after whole rounds of ABBA.
BLOCK_RUNS_S = 2.0
MOST_ROUNDS = 40
STOPPED = "stopped by hand"
# Whatever the budget: of fewer an interval says nothing.
FEWEST_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class Block:
    """One fresh session of each arm, run in turn."""

    a: Start
    b: Start

    @property
    def log_ratio(self) -> float:
        """The logarithm of b's median run over a's."""
        return math.log(self.b.median_ms() / self.a.median_ms())


@dataclass(frozen=True, slots=True)
class Limits:
    """When a comparison ends."""

    within: float = 0.03
    """Half the width of the interval that is asked for, as a share."""
    budget_s: float = 180.0


@dataclass(slots=True)
class Comparison:
    """Two arms and all blocks of them."""

    a: Arm
    b: Arm
    limits: Limits
    blocks: list[Block] = field(default_factory=list)
    is_narrow: bool = False
    """True if it ended because the interval is as narrow as was asked for, False at the end of its budget."""
    seconds: float = 0.0
    cut_by: ArmFailed | asyncio.CancelledError | None = None
    """An arm's failure, or Ctrl-C, that ended it before either."""

    @property
    def steady(self) -> Interval:
        """b's time over a's, of warm runs."""
        return sequential(self).interval

    @property
    def cut(self) -> str:
        """The reason why it was cut; empty if it was not."""
        return "" if self.cut_by is None else str(self.cut_by) or STOPPED

    @property
    def answers_differ(self) -> str:
        """The difference between the first answers, of the first block in which they differ; else empty."""
        return next(filter(None, (block.a.answer.difference(block.b.answer) for block in self.blocks)), "")

    @property
    def share_of_steps(self) -> dict[str, float]:
        """Each step's part of the difference between the arms, in milliseconds: b less a, averaged."""
        n = len(self.blocks)
        found = {}
        for step in STEPS:
            total = sum(block.b.median_ms(step) - block.a.median_ms(step) for block in self.blocks)
            found[step] = total / n
        return found

    def phase(self, name: str) -> Interval:
        """The ratio of `name`: one of ONCE, of STEPS, or memory."""
        pairs = [(_value(block.a, name), _value(block.b, name)) for block in self.blocks]
        logs = [math.log(b / a) for a, b in pairs if a > 0 and b > 0]
        return ratio_interval(logs)

    def medians(self, name: str) -> tuple[float, float]:
        """The medians of a part over the blocks, of a and of b."""
        ones = [(_value(block.a, name), _value(block.b, name)) for block in self.blocks]
        return float(np.median([a for a, _ in ones])), float(np.median([b for _, b in ones]))


PHASES = (*ONCE, "steady", *STEPS, "memory")


def _value(start: Start, name: str) -> float:
    if name == "memory":
        return start.memory_mb or 0.0
    if name in ONCE:
        return start.once_ms[name]
    return start.median_ms(None if name == "steady" else name)


def sequential(comparison: Comparison) -> SequentialRatio:
    """The blocks so far as a sequential ratio."""
    logs = [block.log_ratio for block in comparison.blocks]
    return SequentialRatio(comparison.limits.within, logs)


async def compare(
    a: Arm,
    b: Arm,
    limits: Limits,
    tell: Tell,
    show: Callable[[Comparison], None] = lambda comparison: None,
) -> Comparison:
    """Blocks of both arms until the interval is narrow or the budget is spent; `show` sees each block.

    Raises ArmFailed where an arm fails in the first block; a later failure, or Ctrl-C, leaves what is known.
    """
    comparison, began = Comparison(a, b, limits), time.monotonic()
    longest_s = 0.0
    while True:
        block_began = time.monotonic()
        try:
            comparison.blocks.append(await _run_block(a, b, len(comparison.blocks), tell))
        except (ArmFailed, asyncio.CancelledError) as error:
            if not comparison.blocks:
                raise
            comparison.cut_by = error
            return comparison
        now = time.monotonic()
        longest_s, comparison.seconds = max(longest_s, now - block_began), now - began
        comparison.is_narrow = sequential(comparison).is_narrow
        show(comparison)
        is_spent = comparison.seconds + longest_s > limits.budget_s
        if comparison.is_narrow or (is_spent and len(comparison.blocks) >= FEWEST_BLOCKS):
            return comparison


async def _run_block(a: Arm, b: Arm, number: int, tell: Tell) -> Block:
    """One block: sessions opened in turn, then bursts as ABBA, or BAAB in every second block."""
    arms = [("a", OpenArm("arm a", a)), ("b", OpenArm("arm b", b))]
    order = arms if number % 2 == 0 else arms[::-1]
    opened: list[OpenArm] = []
    try:
        for name, arm in order:
            tell(f"block {number + 1}: starting {name}")
            await arm.open()
            opened.append(arm)
        tell(f"block {number + 1}: running {' '.join(name for name, _ in (*order, *order[::-1]))}")
        end = time.monotonic() + BLOCK_RUNS_S
        for _ in range(MOST_ROUNDS):
            for _, arm in (*order, *order[::-1]):
                await arm.burst()
            if time.monotonic() > end:
                break
        # While both are up: two of one program share pages, which count for whoever is left alone.
        for _, arm in order:
            await arm.sample_memory()
        finished = {name: await arm.finish() for name, arm in arms}
    finally:
        for arm in opened:
            await arm.close()
    return Block(finished["a"], finished["b"])
