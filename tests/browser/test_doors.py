"""Another user of the machine at the doors of a running browser: drivers, pages, debugging, environments."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadSetting
from browser_runtime.contract.session_processes import find_processes
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.browser.test_supervision import open_pool, see
from tests.strangers import can_connect, post, write_program

# A driver that was asked to run a program has done so by then.
PROGRAM_S = 5.0
SECRETS = {
    "WEBINFER_BROKER_URL": "redis://:hunter2@127.0.0.1:6379/0",
    "HF_TOKEN": "hunter2-hf",
    "AWS_SECRET_ACCESS_KEY": "hunter2-aws",
    "CELERY_BROKER_URL": "redis://:hunter2@127.0.0.1:6379/1",
    "SSH_AUTH_SOCK": "/tmp/hunter2",
    "https_proxy": "http://me:hunter2@127.0.0.1:9",
}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter and write to."""
    folder = Path(tempfile.mkdtemp(prefix="wd-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def listening_ports(pid: int) -> set[int]:
    """Every TCP port that is listened on in the network of a process."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}


def leader_of(pool: Pool) -> int:
    launched = pool.sessions[0]._launched
    assert launched is not None
    return launched.leader


def run_program(port: int, program: Path) -> None:
    """Ask a driver to start `program` as its browser."""
    options = {"binary": str(program)}

    def ask(name: str) -> None:
        post(port, "/session", json.dumps({"capabilities": {"alwaysMatch": {name: options}}}))

    with ThreadPoolExecutor(3) as threads:  # a driver that stands still lets each of them wait
        list(threads.map(ask, ("goog:chromeOptions", "moz:firefoxOptions", "ms:edgeOptions")))


def comes_up(output: Path) -> bool:
    deadline = time.monotonic() + PROGRAM_S
    while not output.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return output.exists()


@pytest.mark.parametrize("browser", list(Browser))
async def test_no_port_of_a_browser_is_reached_by_another_user(
    browser: Browser, settings: RuntimeSettings, open_folder: Path
) -> None:
    output = open_folder / "output"
    program = write_program(open_folder, output)
    always = settings.model_copy(update={"private_network": "always"})
    async with open_pool(always, browser) as pool:
        network, leader = pool._loopback.network, leader_of(pool)
        assert network is not None
        ports = listening_ports(leader)
        assert len(ports) >= 3, "page, bridge and driver"
        for port in ports:
            network.connect(port).close()  # it is there
            assert not can_connect(port)
            run_program(port, program)
        assert not await asyncio.to_thread(comes_up, output)
        assert (await pool.run(see())).success


@pytest.mark.browser("chrome")
async def test_without_a_network_of_its_own_a_driver_obeys_nobody_once_its_page_is_open(
    settings: RuntimeSettings, open_folder: Path
) -> None:
    output = open_folder / "output"
    program = write_program(open_folder, output)
    async with open_pool(settings.model_copy(update={"private_network": "never"}), Browser.CHROME) as pool:
        launched = pool.sessions[0]._launched
        assert launched is not None
        port = launched._service.port
        await asyncio.to_thread(run_program, port, program)
        assert not await asyncio.to_thread(comes_up, output)
        assert (await pool.run(see())).success
        held_by = pool.sessions[0].host.confinement
        assert held_by is not None
        assert any("port is on the machine's network" in weakness for weakness in held_by.weaknesses)
        with launched._awake():  # so it would have been: this test attacks what is there
            await asyncio.to_thread(run_program, port, program)
            assert await asyncio.to_thread(comes_up, output)
        if held_by.user is not None:
            assert output.read_text().strip() == str(held_by.user.ids[0])


@pytest.mark.parametrize("browser", list(Browser))
async def test_browsers_inherit_no_secret_and_are_not_root(
    browser: Browser, settings: RuntimeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with open_pool(settings, browser) as pool:
        session = pool.sessions[0]
        folder = session.host._folder
        assert folder is not None
        processes = [Path(f"/proc/{pid}") for pid in find_processes(folder, leader_of(pool))]
        assert len(processes) >= 3, "driver, browser, page"
        for process in processes:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            assert b"hunter2" not in told
        if os.geteuid() == 0:
            assert session.host.confinement is not None
            assert session.host.confinement.weaknesses == ()
            assert all(process.stat().st_uid != 0 for process in processes)
            assert not [p for p in processes if b"--no-sandbox" in (p / "cmdline").read_bytes()]


async def test_a_machine_that_allows_no_namespace_is_refused_where_one_must_be(
    settings: RuntimeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr("browser_runtime.launching.private_network.run_entry", forbidden)
    pool = Pool(settings.model_copy(update={"private_network": "always"}), Browser.CHROME)
    with pytest.raises(BadSetting, match=r"WEBINFER_PRIVATE_NETWORK .* Operation not permitted"):
        await pool.open()
    await pool.close()
