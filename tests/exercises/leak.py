"""A page that leaks, and its replacement before it fills the memory.

python -m tests.exercises.leak    memory before, when it had leaked, and of the session in its place
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import numpy as np

from browser_runtime.contract.events import PoolObserver, SessionChanged
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.policies.recycling import SAMPLES_ABOVE, RecyclePolicy
from browser_runtime.pool import Pool
from browser_runtime.session.session import Session
from browser_runtime.settings import RuntimeSettings

LEAK_MB, ROOM_MB = 300, 200
# Runs in the page beside the lanes, as the leak of a library there would.
SCRIPT = """
const [megabytes, done] = arguments;
globalThis.leaked = [...(globalThis.leaked ?? []), new Uint8Array(megabytes << 20).fill(1)];
done();
"""


@dataclass(frozen=True, slots=True)
class Leak:
    """Memory (PSS, bytes) of the session that leaked, and of the one in its place with the same model."""

    at_first: int
    leaked: int
    after: int
    replacement: str
    n_recycled: int
    n_restarts: int


class Recycled(PoolObserver):
    """Counts the sessions that were recycled."""

    n_recycled = 0

    def connected(self, event: SessionChanged) -> None:
        """See `PoolObserver`."""
        self.n_recycled += event.change == "recycled"


async def run_leak(settings: RuntimeSettings) -> Leak:
    """Leak LEAK_MB where ROOM_MB are allowed; requests are answered all the while."""
    pool = Pool(settings, Browser.EDGE)
    changes = Recycled()
    pool.observers.add(changes)
    await pool.open()
    try:
        leaking, at_first = pool.sessions[0], await _measure(pool)
        pool.session_monitor.policy = RecyclePolicy(max_memory_bytes=at_first + (ROOM_MB << 20))
        await _leak(leaking)
        for _ in range(SAMPLES_ABOVE):
            assert leaking in pool.sessions, "it was replaced at a peak, not at a level"
            await pool.session_monitor.look_after(leaking)
            await _ask(pool)
        async with asyncio.timeout(60):
            await pool.notifier.until(lambda: leaking not in pool.sessions and len(pool.sessions) == 1)
        after, restarts = await _measure(pool), int(pool.status().n_restarts)
        assert leaking.memory_bytes is not None
        name = pool.sessions[0].name
        return Leak(at_first, leaking.memory_bytes, after, name, changes.n_recycled, restarts)
    finally:
        await pool.close()


async def _measure(pool: Pool) -> int:
    """The memory of the one session, with the model loaded and warm."""
    await _ask(pool)
    await pool.sessions[0].sample_memory()
    size = pool.sessions[0].memory_bytes
    assert size is not None
    return size


async def _ask(pool: Pool) -> None:
    image = np.full((28, 28, 3), 255, np.uint8)
    request = Request(Family.VISION, "digits-vit", {"images": [image]}, backends=(Backend.WASM,))
    assert (await pool.run(request)).success


async def _leak(session: Session) -> None:
    launched = session._launched
    assert launched is not None
    await asyncio.to_thread(launched.call_script, SCRIPT, 30, LEAK_MB)


def main() -> int:
    """Print what was measured."""
    leak = asyncio.run(run_leak(RuntimeSettings(simulation="never")))
    sizes = [round(size / 1e6) for size in (leak.at_first, leak.leaked, leak.after)]
    print(
        "edge-1 held {} MB, after its leak {} MB; {} in its place {} MB".format(
            *sizes[:2], leak.replacement, sizes[2]
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
