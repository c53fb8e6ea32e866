"""What docker-compose.yml promises; read from the file, no engine needed but where a test says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import missing_service
from tests.docker.compose import ROOT, read_compose, service

PASSWORDS = {"WEBINFER_REDIS_PASSWORD": "abc", "WEBINFER_FLOWER_PASSWORD": "def"}
OURS = sorted(set(read_compose()["services"]) - {"redis"})


@pytest.fixture(scope="module", autouse=True)
def docker_engine() -> None:
    """No engine is needed to read files."""


@pytest.mark.parametrize("name", sorted(read_compose()["services"]))
def test_every_part_is_confined(name: str) -> None:
    part = service(name)
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in part["security_opt"]
    assert "privileged" not in part
    assert "user" not in part, "the image names its user"
    assert "container_name" not in part, "a fixed name forbids --scale"
    assert "hostname" not in part, "a worker's name is its host's"


def test_only_flower_is_published_and_only_here() -> None:
    published = {name: part["ports"] for name, part in read_compose()["services"].items() if "ports" in part}
    assert list(published) == ["flower"]
    assert all(port.startswith("127.0.0.1:") for port in published["flower"])


@pytest.mark.parametrize("name", ["Dockerfile", "redis.Dockerfile"])
def test_images_end_as_a_user(name: str) -> None:
    lines = (ROOT / "deploy" / name).read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")


def test_profile_adds_only_what_a_sandbox_is_made_of() -> None:
    profile = json.loads((ROOT / "deploy/seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    free = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.keys() & {"args", "includes", "excludes"}
        for name in rule["names"]
    }
    assert {"chroot", "clone", "setns", "unshare"} <= free
    assert not free & {"mount", "bpf", "ptrace", "init_module", "reboot", "keyctl", "io_uring_setup"}


def test_each_image_gets_what_its_role_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = _run_packages("worker", project), _run_packages("scheduler", project)
    assert {"selenium", "websockets", "onnxruntime"} <= names[0]
    assert {"duckdb", "flower", "scipy"} <= names[1]
    assert not names[0] & {"duckdb", "scipy", "pytest", "chromedriver-py"}
    assert not names[1] & {"selenium", "onnxruntime", "pytest", "chromedriver-py"}


def _run_packages(role: str, project: dict[str, object]) -> set[str]:
    import importlib.util

    spec = importlib.util.spec_from_file_location("packages", ROOT / "deploy/packages.py")
    assert spec is not None and spec.loader is not None
    packages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packages)
    return {Requirement(line).name for line in packages.select_packages(project, role)}


def run_config(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`docker-compose config` where no .env is."""
    if shutil.which("docker-compose") is None:
        missing_service("docker-compose (apt-get install docker-compose)")
    (folder / "deploy").mkdir()
    for name in ("docker-compose.yml", "deploy/settings.env", "deploy/seccomp.json"):
        shutil.copy(ROOT / name, folder / name)
    clean = {key: value for key, value in os.environ.items() if not key.endswith("_PASSWORD")}
    return subprocess.run(
        ["docker-compose", "config", "--quiet"],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_is_valid(tmp_path: Path) -> None:
    done = run_config(PASSWORDS, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", sorted(PASSWORDS))
def test_missing_password_is_told(missing: str, tmp_path: Path) -> None:
    given = {name: value for name, value in PASSWORDS.items() if name != missing}
    done = run_config(given, tmp_path)
    assert done.returncode != 0
    assert "deploy/make-env" in done.stderr


def test_made_passwords_are_fresh_and_kept(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for name in ("env.example", "make-env"):
        shutil.copy(ROOT / "deploy" / name, tmp_path / "deploy" / name)
    make = [str(tmp_path / "deploy/make-env")]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    made = (tmp_path / ".env").read_text()
    found = dict(line.split("=", 1) for line in made.splitlines() if "=" in line and line[0] != "#")
    assert found.keys() == PASSWORDS.keys()
    assert len(set(found.values())) == 2
    assert all(len(value) == 48 for value in found.values())
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    again = subprocess.run(make, check=False, capture_output=True, timeout=60)
    assert again.returncode != 0
    assert (tmp_path / ".env").read_text() == made
