"""Faults: what each does to a running `webinfer up`, and the time in which all must be well again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from browser_runtime.contract.session_processes import MARK
from browser_runtime.launching.driver_line import DriverConnection
from browser_runtime.launching.network_namespace import Entry
from browser_runtime.launching.private_network import PrivateNetwork
from tasks.broker.redis_clients import connect
from tasks.keys import UNACKED, UNACKED_INDEX, RedisKeys, queue_lists
from tests.exercises.up import Up

# How long a fault that is taken back lasts.
LASTS_S = 5.0
JUNK = ("", "junk", "{", "[1]", '{"headers": null}', "\x00\xff", "9" * 5000, "[" * 5000)


@dataclass(frozen=True, slots=True)
class Target:
    """What faults are done to."""

    up: Up
    folder: Path
    """Where the exercise keeps its own: sessions' folders in `tmp`, clocks in `clocks`."""
    browsers: tuple[str, ...]

    @property
    def redis(self) -> redis.Redis:
        """A connection to the broker."""
        return connect(self.up.broker_url)

    def session(self, browser: str) -> Path:
        """The folder of a running session. Raises LookupError."""
        return next(iter(sorted((self.folder / "tmp").glob(f"webinfer-{browser}-*"))))

    def processes(self, browser: str) -> list[psutil.Process]:
        """All processes of a browser's session, its driver first. Raises LookupError where none runs."""
        found = [
            child
            for pid in self.up.worker_pids(browser)
            for child in psutil.Process(pid).children(recursive=True)
            if "driver" in child.name() or _is_marked(child)
        ]
        if not found:
            raise LookupError(f"no session of {browser}")
        return sorted(found, key=lambda process: "driver" not in process.name())

    def browser_processes(self, browser: str, *words: str) -> list[psutil.Process]:
        """Those without the driver whose command line holds one of `words`. Raises LookupError."""
        found = [
            process
            for driver in self.processes(browser)[:1]
            for process in driver.children(recursive=True)
            if not words or any(word in " ".join(process.cmdline()) for word in words)
        ]
        if not found:
            raise LookupError(f"no process of {browser} with {words}")
        return found

    def part(self, word: str) -> psutil.Process:
        """A part of the stack by a word of its command line. Raises LookupError."""
        for process in psutil.Process(self.up.pid).children():
            with contextlib.suppress(psutil.Error):
                if word in " ".join(process.cmdline()):
                    return process
        raise LookupError(word)


def _is_marked(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return MARK in process.environ()
    return False


Fault = Callable[[Target, str, random.Random], None]
"""Do it, to the browser named; return when it is over and recovery begins. LookupError: not possible now."""


def kill_worker(target: Target, browser: str, _: random.Random) -> None:
    os.kill(target.up.worker_pid(browser), signal.SIGKILL)


def stop_worker(target: Target, browser: str, _: random.Random) -> None:
    os.kill(target.up.worker_pid(browser), signal.SIGTERM)


def kill_browser(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser), signal.SIGKILL)


def freeze_browser(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser), signal.SIGSTOP)


def freeze_page(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser, "--type=renderer", "-isForBrowser"), signal.SIGSTOP)


def kill_gpu(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser, "--type=gpu-process", "-contentproc"), signal.SIGKILL)


def kill_driver(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.processes(browser)[:1], signal.SIGKILL)


def leave_page(target: Target, browser: str, _: random.Random) -> None:
    """Navigate away, as root can: through the driver, in its network."""
    if browser == "firefox":
        raise LookupError("geckodriver does not list its sessions")
    driver = target.processes(browser)[0]
    port = int(next(word for word in driver.cmdline() if word.startswith("--port=")).partition("=")[2])
    with _network_of(driver.pid) as network:
        line = DriverConnection(f"http://localhost:{port}", network.connect)
        listed = json.loads(line._conn.request("GET", f"http://localhost:{port}/sessions").data)["value"]
        for session in listed:
            line._conn.request(
                "POST",
                f"http://localhost:{port}/session/{session['id']}/url",
                body=json.dumps({"url": "about:blank"}),
            )


@contextlib.contextmanager
def _network_of(pid: int) -> Iterator[PrivateNetwork]:
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    owner = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    is_owned = os.fstat(owner).st_ino != Path("/proc/self/ns/user").stat().st_ino
    try:
        with socket.socket() as page, socket.socket() as bridge:
            yield PrivateNetwork(Entry(descriptor, owner if is_owned else None), page, bridge)
    finally:
        os.close(descriptor)
        os.close(owner)


def kill_guardian(target: Target, browser: str, _: random.Random) -> None:
    worker = psutil.Process(target.up.worker_pid(browser))
    guardians = [p for p in worker.children() if "session_processes" in " ".join(p.cmdline())]
    if not guardians:
        raise LookupError("no guardian")
    _signal(guardians, signal.SIGKILL)


def kill_redis(target: Target, _: str, __: random.Random) -> None:
    target.part("redis-server").kill()


def fill_redis(target: Target, _: str, __: random.Random) -> None:
    """No byte more for a while."""
    with contextlib.closing(target.redis) as client:
        client.config_set("maxmemory", max(int(client.info("memory")["used_memory"]), 1))
        time.sleep(LASTS_S)
        client.config_set("maxmemory", 0)


def remove_folder(target: Target, browser: str, _: random.Random) -> None:
    """What cleaners of temporary files do after ten days."""
    shutil.rmtree(target.session(browser), ignore_errors=True)


def fill_history_disk(target: Target, _: str, __: random.Random) -> None:
    """No file of the history's worker may grow for a while."""
    pid = target.part("analytics@").pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    time.sleep(LASTS_S)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def set_clock(target: Target, browser: str, chance: random.Random) -> None:
    """A worker's clock is ahead of everybody's from now on, by up to an hour."""
    clock = target.folder / "clocks" / str(target.up.worker_pid(browser))
    with clock.open("wb") as stream:
        stream.truncate(chance.choice((30, 120, 3600)))


def push_junk(target: Target, _: str, chance: random.Random) -> None:
    """A junk entry into every queue and key of ours, of the kind that is there."""
    keys = RedisKeys("webinfer:")
    kept = [name for name, value in vars(RedisKeys).items() if isinstance(value, property)]
    names = [str(getattr(keys, name)) for name in kept]
    with contextlib.closing(target.redis) as client:
        kinds = {name: client.type(name).decode() for name in names}
        for queue in ("chrome-vision", "edge-text", "firefox-audio", "analytics", "watch"):
            client.lpush(chance.choice(queue_lists(queue)), chance.choice(JUNK))
        for name, kind in kinds.items():
            _push(client, name, kind, chance.choice(JUNK))
        _push(client, UNACKED, "hash", chance.choice(JUNK))
        client.zadd(UNACKED_INDEX, {"junk": time.time() - 1000})


def _push(client: redis.Redis, name: str, kind: str, junk: str) -> None:
    match kind:
        case "list":
            client.lpush(name, junk)
        case "hash":
            client.hset(name, f"junk-{len(junk)}", junk)
        case "set":
            client.sadd(name, junk)
        case "zset":
            client.zadd(name, {junk or "junk": 0})
        case "stream":
            client.xadd(name, {"junk": junk})
        case "string":
            client.set(name, junk, keepttl=True)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


FAULTS: dict[str, tuple[Fault, float]] = {
    "kill worker": (kill_worker, 40),
    "stop worker": (stop_worker, 40),
    "kill browser": (kill_browser, 20),
    "freeze browser": (freeze_browser, 30),
    "freeze page": (freeze_page, 30),
    "kill GPU process": (kill_gpu, 20),
    "kill driver": (kill_driver, 20),
    "leave page": (leave_page, 30),
    "kill guardian": (kill_guardian, 10),
    "kill Redis": (kill_redis, 20),
    "fill Redis": (fill_redis, 20),
    "remove folder": (remove_folder, 20),
    "fill history's disk": (fill_history_disk, 10),
    "set clock": (set_clock, 10),
    "push junk": (push_junk, 20),
}
"""Each fault, and the seconds until every browser must answer again what is asked then."""
