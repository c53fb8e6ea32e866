"""Keeps the parts of a stack up, and their number as decided: one loop, in the thread that starts them.

The system ends a child when the thread that started it ends: so parts are started nowhere else.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from webinfer.stack.processes import ManagedProcess

Tell = Callable[[str, str], None]
"""Hears (part, what happened)."""

# Between the end of a part and its next start: doubled each time, so that a broken one does not spin.
RESTART_DELAYS_S = (1.0, 30.0)
# A part that lived this long is not broken: its next start comes soon again.
STEADY_S = 60.0


@dataclass
class Backoff:
    """How long each part waits for its next start. Pure: told the time."""

    delays_s: dict[str, float] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)

    def next_s(self, name: str, now: float) -> float:
        """Seconds to wait for the start that follows an end at `now`."""
        first_s, most_s = RESTART_DELAYS_S
        lived_s = now - self.started_s.get(name, -STEADY_S)
        delay_s = first_s if lived_s >= STEADY_S else self.delays_s.get(name, first_s)
        self.delays_s[name] = min(2 * delay_s, most_s)
        return delay_s

    def started(self, name: str, now: float) -> None:
        """It was started again at `now`."""
        self.started_s[name] = now


class Supervisor:
    """Starts ended parts again, lets go of retired ones, and runs what other threads ask for."""

    def __init__(self, parts: list[ManagedProcess], tell: Tell) -> None:
        self.parts = parts
        """Those that are to be up, in the order of their start; retired ones stay until they have ended."""
        self._tell = tell
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._backoff = Backoff()
        self._due: dict[str, tuple[float, ManagedProcess]] = {}
        self._retired: set[str] = set()
        for part in parts:
            self._mind(part)

    def _mind(self, part: ManagedProcess) -> None:
        part.on_end = lambda ended: self._inbox.put(lambda: self._ended(ended))

    def submit(self, work: Callable[[], None]) -> None:
        """Have `work` done in the supervisor's thread."""
        self._inbox.put(work)

    def run(self) -> None:
        """Until interrupted."""
        while True:
            try:
                self._inbox.get(timeout=self._wait_s())()
            except queue.Empty:
                self._start_due()

    def _wait_s(self) -> float | None:
        """Until the next start is due; None where none is."""
        due = min((at_s for at_s, _ in self._due.values()), default=None)
        return None if due is None else max(due - time.monotonic(), 0.0)

    def _ended(self, part: ManagedProcess) -> None:
        part.stop(timeout_s=1)
        if part.name in self._retired:
            self._retired.discard(part.name)
            self.parts.remove(part)
            self._tell(part.name, "stopped")
            return
        now = time.monotonic()
        delay_s = self._backoff.next_s(part.name, now)
        self._due[part.name] = (now + delay_s, part)
        self._tell(part.name, f"ended; starting again in {delay_s:.0f} s")

    def _start_due(self) -> None:
        now = time.monotonic()
        for name, (at_s, part) in list(self._due.items()):
            if at_s <= now:
                del self._due[name]
                part.start()
                self._backoff.started(name, now)
                self._tell(name, "started again")

    def add(self, part: ManagedProcess) -> None:
        """Start one more part and look after it."""
        self._mind(part)
        self.parts.append(part)
        part.start()
        self._backoff.started(part.name, time.monotonic())

    def retire(self, part: ManagedProcess) -> None:
        """Let a part finish what it has and end; it is not started again."""
        self._retired.add(part.name)
        if self._due.pop(part.name, None) is not None:  # it had ended by itself
            self._ended(part)
        else:
            part.ask_to_stop()

    def is_retired(self, part: ManagedProcess) -> bool:
        """Whether it is on its way out."""
        return part.name in self._retired
