"""A worker of the project's image, confined as docker-compose.yml says, answers from inside its container."""

from __future__ import annotations

from importlib.resources import files

import pytest
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
    print(folder.stat().st_uid, (folder / "cmdline").read_bytes().replace(b"\\0", b" ").decode())
"""


def test_answers_confined_and_stops_clean(celery_setup: CeleryTestSetup) -> None:
    worker: CeleryWorkerContainer = celery_setup.worker.container
    asked = infer.delay(model_type="vision", model_name="digits-vit", inputs=SEVEN, browser="chrome")
    reply = asked.get(timeout=120)
    assert reply["output"]["labels"][0]["label"] == "7"
    assert "Chromium" in reply["browser_build"]
    assert not reply["is_simulation"]

    alive = worker.exec_run(["is-alive", "worker", "chrome"])
    assert alive.exit_code == 0, alive.output
    stranger = worker.exec_run(["is-alive", "worker", "firefox"])
    assert stranger.exit_code != 0

    processes = worker.exec_run(["python", "-c", LOOK]).output.decode().splitlines()
    users = {int(line.split()[0]) for line in processes}
    assert users == {OWN_USER}, processes
    browsers = [line for line in processes if "/chromium" in line]
    assert browsers
    assert not [line for line in browsers if "--no-sandbox" in line]

    worker.stop(timeout=60)
    worker.reload()
    assert worker.attrs["State"]["ExitCode"] == 0
    assert not worker.attrs["State"]["OOMKilled"]
