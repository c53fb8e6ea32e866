"""Processes that tests start: whatever a test comes to, in the end they and what they started are dead."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

# A process that was asked to end has work to put away, on a machine that may be busy elsewhere.
STOP_TIMEOUT_S = 60.0
KILL_TIMEOUT_S = 60.0


@contextmanager
def running(argv: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """The process. A test that leaves it running, or fails, has it killed."""
    process: subprocess.Popen[Any] = subprocess.Popen(argv, **options)
    try:
        yield process
    finally:
        kill(process)


def stop(process: subprocess.Popen[Any], sig: int = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
    """Its exit status after `sig`. Kills it, and raises TimeoutExpired, where it does not end."""
    try:
        if process.poll() is None:
            process.send_signal(sig)
        return process.wait(timeout_s)
    finally:
        kill(process)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie has ended, whoever reaps it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_line(process: psutil.Process) -> str:
    """Its words, blanks between them; empty where it has ended meanwhile, as browsers' helpers do."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def environment(process: psutil.Process) -> dict[str, str]:
    """Its environment; empty where it has ended meanwhile."""
    try:
        return process.environ()
    except psutil.NoSuchProcess:
        return {}


def with_word(processes: Iterable[psutil.Process], *words: str) -> list[psutil.Process]:
    """Those whose command line holds one of `words`."""
    return [process for process in processes if any(word in command_line(process) for word in words)]


def suspend(processes: Iterable[psutil.Process]) -> None:
    """Stop each, and return when all stand still: until its first thread has its turn, a process goes on."""
    suspended = list(processes)
    for process in suspended:
        process.suspend()
    while any(is_alive(process) and process.status() != psutil.STATUS_STOPPED for process in suspended):
        os.sched_yield()


@contextmanager
def suspended(processes: Iterable[psutil.Process]) -> Iterator[None]:
    """The processes standing still, sockets open; those that are still there afterwards go on."""
    held = list(processes)
    suspend(held)
    try:
        yield
    finally:
        for process in held:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill each that is still there: the first may take the others with it."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def kill(process: subprocess.Popen[Any]) -> None:
    """End it and all its descendants, and close its pipes; nothing where it has ended."""
    if process.poll() is None:
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(process.pid)
            family = [found, *found.children(recursive=True)]
        kill_all(family)
        process.wait(KILL_TIMEOUT_S)
        psutil.wait_procs(family[1:], KILL_TIMEOUT_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
