"""Parts that end are started again, retired ones are not, and wishes change their number: real processes."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Browser
from scheduler.autoscaling.desired import DesiredWorkers
from webinfer.stack import processes as parts
from webinfer.stack.commands import node_name
from webinfer.stack.processes import ManagedProcess
from webinfer.stack.supervision import Backoff, Supervisor
from webinfer.stack.workforce import Workforce

SLEEPER = (
    "import signal, sys; signal.signal(15, lambda *_: sys.exit()); print('up', flush=True); signal.pause()"
)
TIMEOUT_S = 60.0


class Done(Exception):
    """Ends the supervisor's loop."""


class Bench:
    """A supervisor in this thread, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, queue.SimpleQueue[tuple[str, str]]()
        self.parts: list[ManagedProcess] = []
        self.made: list[ManagedProcess] = []

    def part(self, name: str) -> ManagedProcess:
        part = ManagedProcess(
            name, [sys.executable, "-c", SLEEPER], os.environ, self.folder / f"{name}.log", "up"
        )
        self.made.append(part)
        return part

    def worker(self, browser: Browser, number: int) -> ManagedProcess:
        return self.part(f"{browser} {number}")

    def supervisor(self) -> Supervisor:
        return Supervisor(self.parts, lambda name, state: self.told.put((name, state)))

    def run(self, supervisor: Supervisor, script: Callable[[], None]) -> None:
        """Run `script` beside the loop, which ends with it."""
        failed: list[BaseException] = []

        def play() -> None:
            try:
                script()
            except BaseException as error:
                failed.append(error)
            finally:
                supervisor.submit(finish)

        def finish() -> None:
            raise Done

        thread = threading.Thread(target=play)
        thread.start()
        with pytest.raises(Done):
            supervisor.run()
        thread.join(TIMEOUT_S)
        if failed:
            raise failed[0]

    def hear(self, name: str, words: str) -> None:
        """Return when that part was said to do that."""
        while True:
            told = self.told.get(timeout=TIMEOUT_S)
            if told[0] == name and words in told[1]:
                return


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for part in bench.made:
        part.on_end = None
        part.stop(timeout_s=5)


def test_a_killed_part_is_started_again(bench: Bench) -> None:
    part = bench.part("beat")
    bench.parts.append(part)
    part.start()
    part.wait_ready(TIMEOUT_S)
    first, supervisor = part.pid, bench.supervisor()

    def script() -> None:
        os.kill(part.pid, signal.SIGKILL)
        bench.hear("beat", "ended; starting again in 1 s")
        bench.hear("beat", "started again")
        part.wait_ready(TIMEOUT_S)

    bench.run(supervisor, script)
    assert part.running and part.pid != first


def test_wishes_start_and_stop_workers(bench: Bench) -> None:
    first = bench.worker(Browser.CHROME, 1)
    bench.parts.append(first)
    first.start()
    supervisor = bench.supervisor()
    force = Workforce(
        supervisor, {Browser.CHROME: first}, bench.worker, lambda name, state: bench.told.put((name, state))
    )
    later = force._since + 1

    def wish(n: int, *stop: str, at: float, dry_run: bool = False) -> dict[str, DesiredWorkers]:
        return {"chrome-vision": DesiredWorkers("chrome-vision", n, stop, "as tested", at, dry_run)}

    def script() -> None:
        supervisor.submit(lambda: force.follow(wish(4, at=later - 100)))  # decided before this stack was up
        supervisor.submit(lambda: force.follow(wish(4, at=later, dry_run=True)))
        supervisor.submit(lambda: force.follow(wish(3, at=later)))
        bench.hear("chrome 3", "starting: as tested")
        for part in (first, *bench.made[1:3]):
            part.wait_ready(TIMEOUT_S)
        assert len(bench.parts) == 3
        supervisor.submit(lambda: force.follow(wish(2, node_name(Browser.CHROME, 2), at=later + 1)))
        bench.hear("chrome 2", "stopped")
        supervisor.submit(lambda: force.follow(wish(2, node_name(Browser.CHROME, 2), at=later + 2)))
        supervisor.submit(lambda: force.follow(wish(3, at=later + 3)))
        bench.hear("chrome 2", "starting")

    bench.run(supervisor, script)
    assert [part.name for part in bench.parts] == ["chrome 1", "chrome 3", "chrome 2"]


def test_a_broken_part_waits_longer_each_time_and_a_steady_one_does_not() -> None:
    backoff, now = Backoff(), 1000.0
    delays = []
    for _ in range(7):
        delays.append(backoff.next_s("beat", now))
        backoff.note_started("beat", now)
        now += 2
    assert delays == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.next_s("beat", now + 100) == 1


def test_a_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LOG_BYTES", 2000)
    talk = "print('up', flush=True); [print(f'line {n}') for n in range(1000)]"
    part = ManagedProcess("talker", [sys.executable, "-c", talk], os.environ, tmp_path / "talker.log", "up")
    ended = threading.Event()
    part.on_end = lambda _: ended.set()
    part.start()
    assert ended.wait(TIMEOUT_S)
    part.stop()
    logs = sorted(tmp_path.iterdir())
    assert [log.name for log in logs] == ["talker.log", "talker.log.1"]
    assert all(log.stat().st_size <= 2000 for log in logs)
    kept = [line for log in reversed(logs) for line in log.read_text().splitlines()]
    assert kept[-1] == "line 999" and kept == [f"line {n}" for n in range(1000 - len(kept), 1000)]
