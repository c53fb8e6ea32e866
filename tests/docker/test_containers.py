"""A worker of the project's image, confined as docker-compose.yml says, answers from inside its container."""

from __future__ import annotations

from importlib.resources import files

import pytest
from docker import DockerClient
from pytest_celery import CeleryTestSetup, CeleryWorkerContainer

from tasks import infer

# A cold build of the image takes minutes: no browser, no Python package is there yet.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
SEVEN = str(files("browser_runtime") / "models/builtin/digits-vit/examples/7.png")
OWN_USER = 10001
# Of each process: its user, and its command line.
LOOK = """
import pathlib
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    words = (folder / "cmdline").read_bytes().decode().replace("\\0", " ").split()
    print(folder.stat().st_uid, *words)
"""


def test_answers_confined_and_stops_clean(celery_setup: CeleryTestSetup, docker_client: DockerClient) -> None:
    worker: CeleryWorkerContainer = celery_setup.worker.container
    asked = infer.delay(model_type="vision", model_name="digits-vit", inputs=SEVEN, browser="chrome")
    reply = asked.get(timeout=120)
    assert reply["output"]["labels"][0]["label"] == "7"
    assert "Chromium" in reply["browser_build"]
    assert not reply["is_simulation"]

    alive = worker.exec_run(["is-alive", "worker", "chrome"])
    assert alive.exit_code == 0, alive.output
    dead = worker.exec_run(["is-alive", "beat"])
    assert (dead.exit_code, dead.output) == (1, b"beat does not answer\n")

    processes = worker.exec_run(["python", "-c", LOOK]).output.decode().splitlines()
    users = {int(line.split()[0]) for line in processes}
    assert users == {OWN_USER}, processes
    browsers = [line for line in processes if "/chromium" in line]
    assert browsers
    assert not [line for line in browsers if "--no-sandbox" in line]

    stopping = docker_client.containers.get(worker.id)
    stopping.stop(timeout=60)
    stopping.reload()
    assert stopping.attrs["State"]["ExitCode"] == 0, worker.logs()[-2000:]
    assert "server closed" in worker.logs(), "it ended before its browsers did"
