"""Keeps the processes of a stack running, and their number as decided, in one loop of one thread.

The system ends a child when the thread that started it ends, so processes are started in this thread only.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from webinfer.stack.processes import ManagedProcess

Tell = Callable[[str, str], None]
"""Called with (process, event)."""

# Least and most time from the end of a process to its next start, doubled each time.
RESTART_DELAYS_S = (1.0, 30.0)
# A process that ran this long is not broken: its next start comes soon again.
STEADY_S = 60.0


@dataclass
class Backoff:
    """The waiting time of each process before its next start. Pure: callers give the time."""

    delays_s: dict[str, float] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)

    def next_s(self, name: str, now: float) -> float:
        """Seconds to wait for the start that follows an end at `now`."""
        first_s, most_s = RESTART_DELAYS_S
        lived_s = now - self.started_s.get(name, -STEADY_S)
        delay_s = first_s if lived_s >= STEADY_S else self.delays_s.get(name, first_s)
        self.delays_s[name] = min(2 * delay_s, most_s)
        return delay_s

    def note_started(self, name: str, now: float) -> None:
        """Remember a start at `now`."""
        self.started_s[name] = now


class Supervisor:
    """Restarts processes that end, stops retired ones, and runs functions for other threads."""

    def __init__(self, parts: list[ManagedProcess], tell: Tell) -> None:
        self.parts = parts
        """The processes in the order of their start; retired ones stay until they have ended."""
        self._tell = tell
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._backoff = Backoff()
        self._due: dict[str, tuple[float, ManagedProcess]] = {}
        self._retired: set[str] = set()
        for part in parts:
            self._watch(part)

    def _watch(self, part: ManagedProcess) -> None:
        part.on_end = lambda ended: self._inbox.put(lambda: self._ended(ended))

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` in the supervisor's thread."""
        self._inbox.put(work)

    def run(self) -> None:
        """Supervise until interrupted."""
        while True:
            try:
                self._inbox.get(timeout=self._wait_s())()
            except queue.Empty:
                self._start_due()

    def _wait_s(self) -> float | None:
        """Seconds until the next start is due; None if there is none."""
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
                self._backoff.note_started(name, now)
                self._tell(name, "started again")

    def add(self, part: ManagedProcess) -> None:
        """Start and supervise one more process."""
        self._watch(part)
        self.parts.append(part)
        part.start()
        self._backoff.note_started(part.name, time.monotonic())

    def retire(self, part: ManagedProcess) -> None:
        """Let a process finish its work and end; it is not restarted."""
        self._retired.add(part.name)
        if self._due.pop(part.name, None) is not None:  # it has ended by itself
            self._ended(part)
        else:
            part.ask_to_stop()

    def is_retired(self, part: ManagedProcess) -> bool:
        """True if it is retired and has not ended yet."""
        return part.name in self._retired
