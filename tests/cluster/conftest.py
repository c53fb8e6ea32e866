"""A private Redis on a unix socket, the app pointed at it, and real Celery workers as processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from kombu import pools

from browser_runtime.contract.options import COMMON_OPTIONS
from tasks import app
from tasks.app import configuration
from tasks.keys import UNACKED, UNACKED_INDEX
from tasks.settings import TaskSettings
from tests.cluster.steering import STEERING
from tests.conftest import missing_service
from tests.processes import STOP_TIMEOUT_S, stop

START_TIMEOUT_S = 120.0
# The shortest the settings allow, so that tests of a killed worker do not wait long.
REDELIVERY_S = 5


def point_app(settings: TaskSettings) -> None:
    """Let the producer in this process use `settings`, whatever it used before."""
    for name in ("settings", "redis", "optional_redis", "admission", "claims", "routing", "stream_writer"):
        app.__dict__.pop(name, None)
    app.__dict__["settings"] = settings
    app.conf.update(configuration(settings))
    app._pool = app.amqp._producer_pool = None
    app._backend_cache = None
    with suppress(AttributeError):
        del app._local.backend


def disconnect_app() -> None:
    """Close every connection of the producer in this process."""
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
    app.redis.close()
    pools.reset()  # kombu keeps a closed pool for the next app with the same URL
    app._pool = app.amqp._producer_pool = None


def await_ready(path: Path, process: subprocess.Popen[bytes], words: str) -> None:
    """Return when `words` are in the process's log; fail when it ended before."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while words not in path.read_text(errors="replace"):
        assert process.poll() is None, path.read_text(errors="replace")[-3000:]
        assert time.monotonic() < deadline, f"not ready in time: {path.read_text()[-3000:]}"
        time.sleep(0.05)  # a log file has no event


@pytest.fixture(scope="package")
def redis_url() -> Iterator[str]:
    """The URL of a Redis that lives as long as the tests."""
    if shutil.which("redis-server") is None:
        missing_service("redis-server (apt-get install redis-server)")
    # Not pytest's own folder: the path of a unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder:
        socket = Path(folder) / "r.sock"
        command = ["redis-server", "--unixsocket", str(socket), "--port", "0", "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=str(socket))
            deadline = time.monotonic() + START_TIMEOUT_S
            while True:
                with suppress(redis.ConnectionError):
                    if client.ping():
                        break
                assert time.monotonic() < deadline
                time.sleep(0.02)
            client.close()
            yield f"redis+socket://{socket}"
        finally:
            stop(server)


@pytest.fixture(scope="package")
def settings(redis_url: str) -> Iterator[TaskSettings]:
    """The settings of producer and workers, in the environment too."""
    changed = {
        "WEBINFER_BROKER_URL": redis_url,
        "WEBINFER_REDELIVERY_S": str(REDELIVERY_S),
        "WEBINFER_GRACE_S": "3",
        "WEBINFER_WAIT_FOR_WORKERS": "true",  # many tests send first and start a worker then
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    found = TaskSettings()
    point_app(found)
    yield found
    disconnect_app()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="package", autouse=True)
def steering() -> Iterator[None]:
    """Producers here may steer the runner in memory."""
    with pytest.MonkeyPatch.context() as patch:
        for name, option in STEERING.items():
            patch.setitem(COMMON_OPTIONS, name, option)
        yield


def forget_messages() -> None:
    """Nothing waits, and nothing is held: what a killed worker of an earlier test held comes to nobody."""
    app.control.purge()
    app.redis.delete(UNACKED, UNACKED_INDEX)


@pytest.fixture(scope="module", autouse=True)
def pointed_app(settings: TaskSettings) -> None:
    """Each module begins with the app at this Redis, which is empty, whatever the one before left."""
    point_app(settings)  # again: what it knows of queues that it declared is forgotten with them
    app.redis.flushdb()


class Worker:
    """A worker process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
        self.process, self.name, self.log = process, name, log

    def ready(self) -> Worker:
        """Itself, once it consumes."""
        await_ready(self.log, self.process, "ready.")
        return self

    def await_control(self) -> None:
        """Return once it answers remote control, to which it listens only a turn after it is ready."""
        await_control(self.name)

    @property
    def runs(self) -> Path:
        """What its runner in memory wrote, a line for each run, where it was told to."""
        return self.log.with_suffix(".runs")

    @contextmanager
    def paused(self, queue: str) -> Iterator[None]:
        """It takes nothing from `queue` meanwhile."""
        self.await_control()
        asked = {"destination": [self.name], "reply": True, "timeout": 60, "limit": 1}
        assert app.control.cancel_consumer(queue, **asked)
        try:
            yield
        finally:
            assert app.control.add_consumer(queue, **asked)

    def stop(self, sig: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Its exit status after `sig`."""
        try:
            return stop(self.process, sig, timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.log.read_text()[-3000:]) from None


def until(check: Callable[[], bool], timeout_s: float = 60) -> None:
    """Return once `check()` holds: for state of another process, which tells no one when it changes."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def await_control(name: str) -> None:
    """Return once the worker of that name answers remote control: what is said before is lost to it."""
    until(lambda: bool(app.control.ping(destination=[name], timeout=2, limit=1)))


StartWorker = Callable[..., Worker]


@contextmanager
def workers(folder: Path, application: str = "tests.cluster.memory_app") -> Iterator[StartWorker]:
    """A function that starts workers; all are stopped in the end."""
    started: list[Worker] = []

    def start(*options: str, queue: str = "chrome-vision", **environment: str) -> Worker:
        name = f"w{len(started)}@{folder.name[-8:]}"
        log = folder / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", application, "worker", "-l", "INFO", "-n", name]
        command += ["-Q", queue] if queue else []
        told = {"MEMORY_RUNNER_LOG": str(log.with_suffix(".runs"))} | environment
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options], stdout=output, stderr=subprocess.STDOUT, env=os.environ | told
            )
        started.append(Worker(process, name, log))
        return started[-1]

    try:
        yield start
    finally:
        with ExitStack() as stack:  # one that does not end keeps no other from being ended
            for worker in started:
                stack.callback(worker.stop)


@pytest.fixture
def start_worker(settings: TaskSettings, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers of one test."""
    forget_messages()
    with workers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def worker(settings: TaskSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for the tests of a module, on every queue's browser: Chrome's."""
    with workers(tmp_path_factory.mktemp("worker")) as start:
        yield start("-c", "256").ready()
