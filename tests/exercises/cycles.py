"""Open and close an integration again and again: no process, descriptor, folder or thread stays.

python -m tests.exercises.cycles [--cycles 100] [--browser edge]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from browser_runtime.contract.vocabulary import Browser, Family
from fixed_web_platform.resource_pool_bridge import ResourcePoolBridgeIntegration
from tests.exercises.questions import MODELS, read_questions
from tests.processes import is_alive


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this process holds of the machine."""

    processes: int
    """Live descendants."""
    descriptors: int
    folders: int
    """Temporary directories of sessions."""
    threads: int

    def grown_since(self, before: Holdings) -> dict[str, tuple[int, int]]:
        """What there is more of, before and now. Fewer is no leak: something older may have ended."""
        now, then = asdict(self), asdict(before)
        return {name: (then[name], n) for name, n in now.items() if n > then[name]}


def take_stock() -> Holdings:
    """What is held now, by what can still be reached."""
    gc.collect()
    children = psutil.Process().children(recursive=True)
    return Holdings(
        sum(is_alive(child) for child in children),
        psutil.Process().num_fds(),
        len(list(Path(tempfile.gettempdir()).glob("webinfer-*"))),
        sum(not thread.daemon for thread in threading.enumerate()),
    )


async def open_and_close(browser: Browser) -> None:
    """One cycle: up, one right answer, down."""
    question = read_questions("digits-vit")[0]
    async with ResourcePoolBridgeIntegration(
        max_connections=1,
        adaptive_scaling=False,
        browser_preferences=dict.fromkeys(map(str, Family), str(browser)),
    ) as integration:
        model = await integration.get_model(MODELS["digits-vit"], "digits-vit", {"priority_list": ["cpu"]})
        result = await model.run(question.inputs)
        assert result["browser"] == browser
        assert not question.mismatch(result)


def run_cycles(n_cycles: int, browser: Browser) -> tuple[Holdings, Holdings]:
    """What is held after the first cycle, which loads libraries, and after `n_cycles` more."""
    asyncio.run(open_and_close(browser))
    before = take_stock()
    for _ in range(n_cycles):
        asyncio.run(open_and_close(browser))
    return before, take_stock()


def main(arguments: list[str]) -> int:
    """Exit code 0 where nothing is held that was not held before."""
    parser = argparse.ArgumentParser(description="Open and close an integration again and again.")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--browser", type=Browser, choices=list(Browser), default=Browser.EDGE)
    asked = parser.parse_args(arguments)
    start = time.monotonic()
    before, after = run_cycles(asked.cycles, asked.browser)
    print(f"{asked.cycles} cycles of {asked.browser} in {time.monotonic() - start:.0f} s")
    for name, n in asdict(before).items():
        print(f"{name:12} before {n:4}  after {asdict(after)[name]:4}")
    return int(bool(after.grown_since(before)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
