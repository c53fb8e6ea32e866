"""The wheel of a clean checkout holds all that it needs, and works where nothing of the checkout is."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Browser
from tests.conftest import require_browser
from tests.installing.conftest import Installed, build_wheel, run
from tests.stand_ins.archives import unpack

VENDOR = "browser_runtime/page/vendor"
LICENCES = {
    f"{VENDOR}/licenses/transformers.txt": "Apache License",
    f"{VENDOR}/licenses/jinja.txt": "MIT License",
    f"{VENDOR}/licenses/tokenizers.txt": "Apache License",
    f"{VENDOR}/licenses/onnxruntime.txt": "Copyright (c) Microsoft Corporation",
    f"{VENDOR}/licenses/onnxruntime-third-party.txt": "THIRD PARTY SOFTWARE NOTICES",
    "scheduler/monitor/static/vendor/uPlot-LICENSE": "Leon Sorokin",
    "*.dist-info/licenses/LICENSE": "Apache License",
    "*.dist-info/licenses/NOTICE": "Optical Recognition of Handwritten Digits",
    "*.dist-info/licenses/licenses/WordNet-3.0.txt": "Princeton University",
}


def test_the_wheel_holds_what_the_pages_load(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        manifest = json.loads(archive.read(f"{VENDOR}/manifest.json"))
        assert len(manifest["files"]) > 10
        for path, told in manifest["files"].items():
            assert hashlib.sha256(archive.read(f"{VENDOR}/{path}")).hexdigest() == told["sha256"], path
        assert not [
            name for name in archive.namelist() if "node_modules" in name or name.startswith("tests/")
        ]


def test_the_wheel_carries_the_licences_of_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for pattern, words in LICENCES.items():
            (name,) = [name for name in archive.namelist() if Path(name).match(pattern)]
            assert words in archive.read(name).decode(), name


def test_a_source_archive_builds_the_same_wheel_without_npm(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    script = "import sys, hatchling.build; print(hatchling.build.build_sdist(sys.argv[1]))"
    done = run(sys.executable, "-c", script, str(tmp_path), cwd=checkout)
    assert done.returncode == 0, done.stdout
    (archive,) = tmp_path.glob("*.tar.gz")
    unpack(archive, tmp_path)
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    folder = tmp_path / "wheel"
    folder.mkdir()
    done = build_wheel(source, folder, PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    (again,) = folder.glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_without_npm_the_build_of_a_checkout_ends_in_one_sentence(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(checkout, bare, ignore=shutil.ignore_patterns("node_modules", "vendor"))
    done = build_wheel(bare, tmp_path, PATH=str(tmp_path))
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "webinfer cannot be built without node and npm" in done.stdout
    assert "apt-get install -y nodejs npm" in done.stdout


def advised(said: str) -> list[str]:
    """The commands that `webinfer doctor` advises."""
    return re.findall(r"(?:install it with|stands in for it): (.+)", said)


@pytest.mark.browser("firefox", "chrome", "edge")
@pytest.mark.timeout(600)
def test_what_doctor_advises_makes_every_browser_work(installed: Installed) -> None:
    """It has no driver for Firefox and nothing that stands in for Edge: what it advises brings both."""
    sick = installed.shell("webinfer doctor --browser firefox --browser edge")
    assert sick.returncode == 1
    assert "Traceback" not in sick.stdout
    remedies = advised(sick.stdout)
    assert "webinfer prepare" in remedies, sick.stdout
    for remedy in remedies:
        done = installed.shell(remedy)
        assert done.returncode == 0, done.stdout
    still = advised(installed.shell("webinfer doctor --browser edge").stdout)
    for remedy in still:
        assert installed.shell(remedy).returncode == 0
    healthy = installed.shell("webinfer doctor --json")
    assert healthy.returncode == 0, healthy.stdout
    told = json.loads(healthy.stdout[healthy.stdout.index("{") :])
    assert {name: exam["problem"] for name, exam in told["browsers"].items()} == dict.fromkeys(Browser, "")
    assert all(exam["backends"]["wasm"]["proved"] for exam in told["browsers"].values())
    assert all(not tool["remedy"] for tool in told["tools"].values())


@pytest.mark.browser("chrome")
@pytest.mark.timeout(300)
def test_an_inference_from_the_wheel(installed: Installed) -> None:
    require_browser(Browser.CHROME)
    command = ["webinfer", "up", "--browser", "chrome", "--without-scheduler", "--without-monitor"]
    environment = installed.environment | {"HOME": str(installed.folder)}
    with subprocess.Popen(
        [str(installed.folder / "bin" / command[0]), *command[1:]],
        cwd=installed.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        assert up.stdout is not None
        lines = []
        for line in up.stdout:
            lines.append(line)
            if line.startswith("stop:"):
                break
        else:
            pytest.fail("".join(lines))
        try:
            found = installed.shell("find lib -path '*digits-vit/examples/7.png'").stdout.strip()
            done = installed.shell(f"webinfer infer -t vision -m digits-vit --json {found}")
        finally:
            up.send_signal(signal.SIGINT)
    assert done.returncode == 0, done.stdout
    (reply,) = json.loads(done.stdout)
    assert reply["output"]["labels"][0]["label"] == "7"
    assert reply["browser"] == "chrome"
    assert not reply["is_simulation"]
