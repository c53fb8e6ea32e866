"""Each command that a sentence of ours advises is run where the thing is missing, or started."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from browser_runtime.contract.setup import remedies
from browser_runtime.contract.vocabulary import Browser
from tests.conftest import missing_service, require_browser
from tests.installing.conftest import copy_checkout, run
from tests.installing.linking import ROOT
from webinfer.cli import cli

ROOMS = ("browser_runtime", "tasks", "workers", "scheduler", "webinfer")
START_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def package_lists(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """apt's options for a machine on which no package is installed."""
    if shutil.which("apt-get") is None:
        missing_service("apt-get")
    folder = tmp_path_factory.mktemp("apt")
    (folder / "status").write_text("")
    bare = ["-o", f"Dir::State::status={folder / 'status'}"]
    if run("apt-cache", "show", "redis-server", cwd=folder).returncode != 0:  # no lists yet
        (folder / "lists/partial").mkdir(parents=True)
        bare += ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", "APT::Sandbox::User=root"]
        assert run("apt-get", *bare, "update", cwd=folder).returncode == 0
    return bare


def test_debian_has_the_packages_that_are_advised(package_lists: list[str]) -> None:
    packages = [name for names in remedies.DEBIAN_PACKAGES.values() for name in names.split()]
    for what, names in remedies.DEBIAN_PACKAGES.items():
        assert remedies.install_packages(what).removeprefix("sudo ") == f"apt-get install -y {names}"
    done = run("apt-get", *package_lists, "--simulate", "install", "-y", *packages, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    for package in packages:
        assert re.search(rf"^Inst {re.escape(package)} ", done.stdout, re.MULTILINE), done.stdout[-2000:]


def test_an_ordinary_user_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert remedies.install_packages("redis") == "sudo apt-get install -y redis-server"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert remedies.install_packages("redis") == "apt-get install -y redis-server"


def test_the_page_packages_can_be_brought_as_advised(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        missing_service("npm (apt-get install npm)")
    checkout = copy_checkout(tmp_path / "a checkout")
    script = "from browser_runtime.contract.setup.remedies import vendor_page; print(vendor_page())"
    advised = run(sys.executable, "-c", script, cwd=checkout).stdout.strip()
    done = run("sh", "-c", advised, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert (checkout / "browser_runtime/page/vendor/manifest.json").exists()


STARTED = [
    (remedies.WORKER, r"ready\."),
    (remedies.ANALYTICS, r"ready\."),
    (remedies.BEAT, "beat: Starting"),
]


@pytest.mark.parametrize(("command", "ready"), STARTED, ids=["worker", "analytics", "beat"])
def test_what_is_to_be_started_starts(redis_url: str, tmp_path: Path, command: str, ready: str) -> None:
    if command == remedies.WORKER:
        require_browser(Browser.CHROME)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WEBINFER_BROKER_URL": redis_url,
        "XDG_DATA_HOME": str(tmp_path),
    }
    with subprocess.Popen(
        ["sh", "-c", f"exec {command} --loglevel INFO"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        timer = threading.Timer(START_TIMEOUT_S, process.kill)
        timer.start()
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if re.search(ready, line):
                process.send_signal(signal.SIGTERM)
        timer.cancel()
    assert any(re.search(ready, line) for line in lines), "".join(lines)


def advised_commands() -> set[str]:
    """Every `webinfer ...` that a sentence in the code puts into backquotes."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "page" not in path.parts]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {found for text in texts for found in re.findall(r"`webinfer ([a-z-]+(?: [a-z-]+)?)", text)}


def test_every_webinfer_command_that_is_advised_exists() -> None:
    commands = advised_commands() | {remedies.STACK.split()[1], remedies.STAND_IN.split()[1]}
    assert {"up", "prepare", "models list", "models import"} <= commands
    for words in map(str.split, commands):
        group: click.Command = cli
        for word in words:
            if not isinstance(group, click.Group):
                break  # an argument
            found = group.get_command(click.Context(group), word)
            assert found is not None, words
            group = found
