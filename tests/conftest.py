"""What every test may rely on: services found or skipped (never in CI), and nothing left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.settings import RuntimeSettings

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


def _ours() -> set[int]:
    """Live descendants of this test run."""
    return {p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE}


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("webinfer-*"))


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything temporary lands in a folder of this run, so that leftovers can be told from others'."""
    folder = tmp_path_factory.mktemp("tmp")
    before = tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.environ["XDG_STATE_HOME"] = str(folder / "state")  # no test finds the broker of a running `up`
    yield
    tempfile.tempdir = before


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest, own_temporary_folder: None) -> Iterator[None]:
    """A test that leaves a process or a session folder behind fails; module fixtures are not the test's."""
    before, folders = _ours(), _folders()
    yield
    if {"stack", "pools", "shared_pool", "shared_integration"} & set(request.fixturenames):
        return
    left = _ours() - before
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in left if psutil.pid_exists(pid)], timeout=5)
    assert not alive, f"left running: {[process.cmdline() for process in alive if process.is_running()]}"
    assert _folders() == folders, f"left behind: {_folders() - folders}"
