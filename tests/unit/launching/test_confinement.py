"""Network namespaces and users of browsers, with the processes of this machine, without a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadSetting
from browser_runtime.launching.browser_user import BrowserUser, find_browser_user
from browser_runtime.launching.private_network import PrivateNetwork, open_network, run_entry
from browser_runtime.launching.processes import session_environment
from browser_runtime.settings import RuntimeSettings
from tests.conftest import missing_service
from tests.strangers import can_connect

ROOT = Path(__file__).parents[3]
# Makes a namespace; says whether it is owned by a user's, what came through it, and whose a program in it is.
OWNED = """
import subprocess
import sys
from browser_runtime.launching.browser_user import find_browser_user
from browser_runtime.launching.private_network import PrivateNetwork
from browser_runtime.settings import RuntimeSettings
network = PrivateNetwork.create(find_browser_user(RuntimeSettings()))
print(network.entry.owner is not None)
with network.connect(network.page_socket.getsockname()[1]) as line:
    network.page_socket.setblocking(True)
    accepted, _ = network.page_socket.accept()
    accepted.sendall(b"here")
    print(line.recv(4).decode(), flush=True)
    accepted.close()
words = [*network.entry.words(), "exec", "/usr/bin/id", "-u"]
subprocess.run(words, pass_fds=network.entry.descriptors, check=True)
network.close()
"""


@pytest.fixture
def user() -> BrowserUser | None:
    return find_browser_user(RuntimeSettings())


@pytest.fixture
def network(user: BrowserUser | None) -> Iterator[PrivateNetwork]:
    try:
        created = PrivateNetwork.create(user)
    except OSError as error:
        missing_service(f"network namespaces ({error})")
        raise
    yield created
    created.close()


def run_inside(network: PrivateNetwork, user: BrowserUser | None, *command: str) -> str:
    entry = replace(network.entry, user=user.ids if user else None)
    words = [*entry.words(), "exec", *command]
    return subprocess.run(
        words, pass_fds=entry.descriptors, capture_output=True, text=True, check=True
    ).stdout


def test_only_the_worker_reaches_a_port_inside(network: PrivateNetwork) -> None:
    port = network.page_socket.getsockname()[1]
    with network.connect(port) as line:
        network.page_socket.setblocking(True)
        accepted, _ = network.page_socket.accept()
        with accepted:
            accepted.sendall(b"here")
            assert line.recv(4) == b"here"
    assert not can_connect(port)
    with pytest.raises(OSError, match=r"nobody listens|refused"):
        network.connect(1)


def test_what_runs_inside_sees_no_other_network_and_has_no_rights(
    network: PrivateNetwork, user: BrowserUser | None
) -> None:
    devices = run_inside(network, user, "/bin/cat", "/proc/net/dev").splitlines()[2:]
    assert not {line.split(":")[0].strip() for line in devices} & {"eth0", "wlan0"}
    status = run_inside(network, user, "/bin/cat", "/proc/self/status")
    assert "CapEff:\t0000000000000000" in status
    expected = user.ids[0] if user else os.geteuid()
    assert f"Uid:\t{expected}\t{expected}\t{expected}\t{expected}" in status


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_runs_browsers_as_a_user_to_whom_nothing_belongs(tmp_path: Path) -> None:
    user = find_browser_user(RuntimeSettings())
    assert user is not None
    assert user.name in ("webinfer", "nobody")
    assert find_browser_user(RuntimeSettings(browser_user="root")) is None
    with pytest.raises(BadSetting, match="WEBINFER_BROWSER_USER is 'nosuch'"):
        find_browser_user(RuntimeSettings(browser_user="nosuch"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert user.cannot_reach(Path("/bin/sh"), closed) == f"{user.name} cannot reach {closed}"
    user.give(closed)
    assert closed.stat().st_uid == user.ids[0]


def test_who_may_not_make_namespaces_makes_one_as_the_browsers_user(user: BrowserUser | None) -> None:
    """Root in a container without CAP_SYS_ADMIN, and every ordinary user."""
    is_root = os.geteuid() == 0
    without = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"] if is_root else []
    ran = subprocess.run(
        [*without, sys.executable, "-c", OWNED], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if "PermissionError" in ran.stderr:
        missing_service("user namespaces")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["True", "here", str(user.ids[0] if user else os.geteuid())]


async def test_a_machine_without_namespaces_is_told_and_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr("browser_runtime.launching.private_network.run_entry", forbidden)
    assert await open_network(RuntimeSettings(), None) is None
    assert await open_network(RuntimeSettings(private_network="never"), None) is None
    with pytest.raises(BadSetting, match="WEBINFER_PRIVATE_NETWORK"):
        await open_network(RuntimeSettings(private_network="always"), None)


def test_a_failing_entry_says_why(network: PrivateNetwork) -> None:
    with pytest.raises(OSError, match="FileNotFoundError"):
        run_entry(network.entry, "exec", "/no/such/program")


def test_the_environment_is_a_list_of_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WEBINFER_BROKER_URL", "HF_TOKEN", "MY_PASSWORD", "NOVKSECRET", "PATHS"):
        monkeypatch.setenv(name, "secret")
    for name in ("LC_ALL", "VK_ICD_FILENAMES", "__GLX_VENDOR_LIBRARY_NAME", "DISPLAY"):
        monkeypatch.setenv(name, "kept")
    environment = session_environment(tmp_path)
    assert "secret" not in environment.values()
    assert {name for name, value in environment.items() if value == "kept"} == {
        "LC_ALL",
        "VK_ICD_FILENAMES",
        "__GLX_VENDOR_LIBRARY_NAME",
        "DISPLAY",
    }
    assert environment["HOME"] == str(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    assert "XDG_RUNTIME_DIR" not in session_environment(tmp_path, is_own=False)
