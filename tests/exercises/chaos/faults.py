"""Faults: what each does to a running `webinfer up`, and the times in which all must be well again."""

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
from urllib3.exceptions import HTTPError

from browser_runtime.launching.driver_line import DriverConnection
from browser_runtime.launching.network_namespace import Entry
from browser_runtime.launching.private_network import PrivateNetwork
from tasks import infer
from tasks.keys import UNACKED, UNACKED_INDEX, RedisKeys, queue_lists
from tests.exercises.chaos.target import KEYS, Target
from tests.processes import suspended
from tests.stand_ins.faulty_models import ENDLESS

# How long a fault that is taken back lasts.
LASTS_S = 5.0
# Longer than a lease: others take over what a worker that stands still holds, and then it goes on.
PAUSE_S = 10.0
# Of clock/sitecustomize.py: the length of a file of a clock that is right.
RIGHT = 7200
# Of tests/stand_ins/faulty_models.py: it loops for ever on one word.
GUILTY_MODEL = "loops"
JUNK = ("", "junk", "{", "[1]", '{"headers": null}', "\x00\xff", "9" * 5000, "[" * 5000)

Fault = Callable[[Target, str, random.Random], None]
"""Do it, to the browser named; return when it is over and recovery begins. LookupError: not possible now."""


def kill_worker(target: Target, browser: str, _: random.Random) -> None:
    target.worker(browser).kill()


def kill_worker_and_guardian(target: Target, browser: str, _: random.Random) -> None:
    """Nobody is left to end its browser but the worker that is started next."""
    _signal([*target.guardians(browser), target.worker(browser)], signal.SIGKILL)


def stop_worker(target: Target, browser: str, _: random.Random) -> None:
    target.worker(browser).terminate()


def pause_worker(target: Target, browser: str, _: random.Random) -> None:
    """It loses its leases while it stands still, and goes on with what others have taken over."""
    with suspended([target.worker(browser)]):
        time.sleep(PAUSE_S)


def kill_part(target: Target, _: str, chance: random.Random) -> None:
    target.part(chance.choice([name for name in target.parts if name != "redis"])).kill()


def kill_browser(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser), signal.SIGKILL)


def freeze_browser(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser), signal.SIGSTOP)


def freeze_page(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser, "--type=renderer", "-isForBrowser"), signal.SIGSTOP)


def crash_page(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser, "--type=renderer", "-isForBrowser"), signal.SIGKILL)


def kill_gpu(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.browser_processes(browser, "--type=gpu-process", "-contentproc"), signal.SIGKILL)


def kill_driver(target: Target, browser: str, _: random.Random) -> None:
    _signal(target.processes(browser)[:1], signal.SIGKILL)


def leave_page(target: Target, browser: str, _: random.Random) -> None:
    """Navigate away, as root can: through the driver, in its network."""
    if browser == "firefox":
        raise LookupError("geckodriver does not list its sessions")
    driver = target.processes(browser)[0]
    port = next((word.partition("=")[2] for word in driver.cmdline() if word.startswith("--port=")), None)
    try:
        _open_blank_pages(driver.pid, f"http://localhost:{port}")
    except (HTTPError, OSError) as error:  # it may be ending: of two faults at once the first has its way
        raise LookupError(f"the driver went away: {error!r}") from error


def _open_blank_pages(driver_pid: int, url: str) -> None:
    with _network_of(driver_pid) as network:
        line = DriverConnection(url, network.connect)
        for session in json.loads(line._conn.request("GET", f"{url}/sessions").data)["value"]:
            body = json.dumps({"url": "about:blank"})
            line._conn.request("POST", f"{url}/session/{session['id']}/url", body=body)


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
    guardians = target.guardians(browser)
    if not guardians:
        raise LookupError("no guardian")
    _signal(guardians, signal.SIGKILL)


def kill_redis(target: Target, _: str, __: random.Random) -> None:
    target.part("redis").kill()


def fill_redis(target: Target, _: str, __: random.Random) -> None:
    """No byte more for a while."""
    with contextlib.closing(target.redis) as client:
        client.config_set("maxmemory", max(int(client.info("memory")["used_memory"]), 1))
        time.sleep(LASTS_S)
        client.config_set("maxmemory", 0)


def refuse_writes(target: Target, _: str, __: random.Random) -> None:
    """Redis takes no write for a while, as one whose disk is full does."""
    with contextlib.closing(target.redis) as client:
        client.config_set("min-replicas-to-write", 1)
        time.sleep(LASTS_S)
        client.config_set("min-replicas-to-write", 0)


def remove_folder(target: Target, browser: str, _: random.Random) -> None:
    """What cleaners of temporary files do after ten days."""
    shutil.rmtree(target.session(browser), ignore_errors=True)


def fill_history_disk(target: Target, _: str, __: random.Random) -> None:
    """No file of the history's worker may grow for a while."""
    pid = target.part("analytics").pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    time.sleep(LASTS_S)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def set_clock(target: Target, browser: str, chance: random.Random) -> None:
    """A worker's clock is ahead of everybody's, or behind, from now on: by up to an hour."""
    clock = target.folder / "clocks" / str(target.worker(browser).pid)
    with clock.open("wb") as stream:
        stream.truncate(RIGHT + chance.choice((-3600, -120, 30, 120, 3600)))


def ask_for_ever(target: Target, browser: str, _: random.Random) -> None:
    """One request whose graph loops for ever."""
    asked = infer.delay(
        model_type="text_embedding",
        model_name=GUILTY_MODEL,
        inputs=f"the {ENDLESS} eats",
        browser=browser,
        priority_list=["wasm"],
    )
    target.guilty.under_way.append(asked)


def push_junk(target: Target, _: str, chance: random.Random) -> None:
    """A junk entry into every queue and key of ours, of the kind that is there."""
    kept = [name for name, value in vars(RedisKeys).items() if isinstance(value, property)]
    names = [str(getattr(KEYS, name)) for name in kept]
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


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault and its bounds, in seconds."""

    do: Fault
    answers_s: float
    """Until every browser has answered what is asked of it then."""
    whole_s: float = 30.0
    """Until every part is there again and at work."""


FAULTS: dict[str, Kind] = {
    # A browser that starts and loads its models takes 5 s on two idle processors, 20 on busy ones.
    "kill worker": Kind(kill_worker, 30, 45),
    "kill worker and guardian": Kind(kill_worker_and_guardian, 30, 45),
    "stop worker": Kind(stop_worker, 30, 45),
    "pause worker": Kind(pause_worker, 10),
    "kill browser": Kind(kill_browser, 30),
    "freeze browser": Kind(freeze_browser, 30),
    "freeze page": Kind(freeze_page, 30),
    "crash page": Kind(crash_page, 30),
    "leave page": Kind(leave_page, 30),
    "kill GPU process": Kind(kill_gpu, 30),
    "kill driver": Kind(kill_driver, 30),
    "kill guardian": Kind(kill_guardian, 10),
    "kill Redis": Kind(kill_redis, 15),
    "fill Redis": Kind(fill_redis, 10),
    "refuse writes": Kind(refuse_writes, 15),
    "remove folder": Kind(remove_folder, 10),
    "fill history's disk": Kind(fill_history_disk, 10),
    "set clock": Kind(set_clock, 10),
    "push junk": Kind(push_junk, 10),
    # Two tries: on a model that was not run before, of 10 and 20 s, and a browser that starts after each.
    "ask for ever": Kind(ask_for_ever, 30, 75),
    "kill part": Kind(kill_part, 10, 60),
}
