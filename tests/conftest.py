"""What every test may rely on: services found or skipped (never in CI), and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import structlog

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.setup.proxies import exempt_loopback
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.settings import RuntimeSettings
from tests import surroundings
from tests.processes import is_alive

# What ends, ends soon; on a busy machine "soon" is not five seconds.
END_TIMEOUT_S = 60.0

CI = os.environ.get("CI", "").lower() in ("1", "true")


def missing_service(what: str) -> None:
    """Skip at home with the reason; fail where CI promises every service."""
    if CI:
        pytest.fail(f"CI must have {what}", pytrace=False)
    pytest.skip(what)


def require_browser(browser: Browser) -> None:
    """Return where `browser` can be started; else skip, or fail in CI."""
    try:
        find_installation(browser, RuntimeSettings())
    except SetupError as error:
        missing_service(str(error))


@pytest.fixture(autouse=True)
def needs_browser(request: pytest.FixtureRequest) -> None:
    """`@pytest.mark.browser("chrome")` and parameters named `browser` run only where that browser is."""
    marker = request.node.get_closest_marker("browser")
    names = list(marker.args) if marker else []
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and isinstance(callspec.params.get("browser"), Browser):
        names.append(callspec.params["browser"])
    for name in names:
        require_browser(Browser(name))


# What a newcomer's shell may hold, and no test may depend on: a dead proxy, another's settings.
DEAD_PROXY = "http://127.0.0.1:9"
PROXIED = {
    variable: DEAD_PROXY
    for name in ("http_proxy", "https_proxy", "all_proxy")
    for variable in (name, name.upper())
}


def without_exceptions(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of somebody who set proxies and never heard of `no_proxy`."""
    return {name: value for name, value in environment.items() if name.lower() != "no_proxy"} | PROXIED


@contextmanager
def odd_folder() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets, and needs quoting everywhere."""
    folder = Path(tempfile.mkdtemp(prefix="w i'\"[b]é", dir="/tmp"))
    try:
        yield folder
        assert not list(folder.glob("webinfer-*"))
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def own_surroundings() -> Iterator[None]:
    """The same for everyone: no setting of the caller's but where browsers are, Ctrl-C that works."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WEBINFER_")]:
            if not name.endswith(("_BINARY", "_DRIVER", "_CACHE_DIR", "BUILD_NETWORK")):
                patch.delenv(name)
        for name in (name for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN") if name in os.environ):
            patch.delenv(name)
        exempt_loopback()
        # With nohup, or behind an ampersand, it is ignored, and would be in every child as well.
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def changes_nothing(own_surroundings: None, own_temporary_folder: None) -> Iterator[None]:
    """A test that leaves this process other than it found it fails; set up first, so checked last."""
    before = surroundings.observe()
    yield
    left = surroundings.changes(before, surroundings.observe())
    assert not left, "left changed: " + "; ".join(left)


@pytest.fixture(autouse=True)
def logs_as_before(changes_nothing: None) -> Iterator[None]:
    """A command that a test calls in this process leaves its stream, closed by then, to no later test."""
    before = structlog.get_config() if structlog.is_configured() else None
    yield
    # What was not configured must not look as if it were: a library then leaves its lines to the user.
    structlog.reset_defaults() if before is None else structlog.configure(**before)


def _ours() -> set[psutil.Process]:
    """Live descendants of this test run."""
    return {process for process in psutil.Process().children(recursive=True) if is_alive(process)}


def _is_of(earlier: set[psutil.Process], process: psutil.Process) -> bool:
    """Whether one of `earlier` started it, as a browser of the module's starts helpers whenever it likes."""
    try:
        return not earlier.isdisjoint(process.parents())
    except psutil.NoSuchProcess:
        return True


def _describe(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return f"process {process.pid}, gone by now"


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("webinfer-*"))


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything temporary lands in a folder of this run, so that leftovers can be told from others'.

    It is none of pytest's, which only this user may enter: browsers of root are somebody else's.
    """
    tmp_path_factory.getbasetemp()  # where it would be made by the first test
    folder = Path(tempfile.mkdtemp(prefix="wt-", dir="/tmp"))
    folder.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))  # no test finds the broker of a running `up`
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))  # nor the caller's models, history and reports
        yield
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest, changes_nothing: None) -> Iterator[None]:
    """A test that leaves a process or a session folder behind fails; module fixtures are not the test's."""
    before, folders = _ours(), _folders()
    yield
    if {"stack", "up", "pools", "shared_pool", "shared_integration"} & set(request.fixturenames):
        return
    deadline = time.monotonic() + END_TIMEOUT_S
    while left := [process for process in _ours() - before if not _is_of(before, process)]:
        assert time.monotonic() < deadline, f"left running: {[_describe(process) for process in left]}"
        time.sleep(0.02)  # some are not our own children: nobody tells us
    while left_behind := _folders() - folders:
        assert time.monotonic() < deadline, f"left behind: {left_behind}"
        time.sleep(0.02)
