"""A clean checkout, the wheel built from it, and an environment outside of it that holds nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.conftest import redis_url
from tests.conftest import missing_service
from tests.installing.linking import ROOT

__all__ = ["redis_url"]

# npm and pip fetch what is not in their caches yet.
TIMEOUT_S = 900


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `command` did, without this project's settings; stdout and stderr together."""
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("WEBINFER_", "PYTHON", "CI", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def copy_checkout(folder: Path) -> Path:
    """This checkout as it stands, without what set-up made."""
    if not (ROOT / ".git").exists():
        missing_service("a git checkout, which a clean copy can be made of")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder


def build_wheel(source: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """pip's build of `source` into `folder`; hatchling is here already."""
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    return run(sys.executable, *words, str(source), cwd=folder, **environment)


@pytest.fixture(scope="package")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout; building adds the page's packages to it."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        missing_service("npm and node (apt-get install nodejs npm)")
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="package")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a clean checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    done = build_wheel(checkout, folder)
    assert done.returncode == 0, done.stdout
    (found,) = folder.glob("*.whl")
    return found


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and a folder of its own to run in."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a shell has in which the environment is active; caches of pip and npm stay the user's."""
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "WEBINFER_CACHE_DIR": str(self.folder / "cache"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "COLUMNS": "200",
        }

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """What a person gets who types `line`."""
        return run("sh", "-c", line, cwd=self.folder, **self.environment)


@pytest.fixture(scope="package")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with the extra `worker`, resolved and installed by pip into an empty environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    lock = str(ROOT / "requirements.lock")
    words = ["install", "--quiet", "--no-compile", "--constraint", lock, f"{wheel}[worker]"]
    done = run(str(folder / "bin/pip"), *words, cwd=folder)
    assert done.returncode == 0, done.stdout
    return Installed(folder)
