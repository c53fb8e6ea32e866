"""An environment made of links: what a set of requirements needs, and nothing else that is installed here.

It is what `pip install` of those requirements would give, in a second and without a network.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TIMEOUT_S = 60


def requirements(*extras: str) -> list[str]:
    """What pyproject.toml asks for with `extras`."""
    return [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]


def find_distributions(lines: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """The installed distributions that pip would install for `lines`, by name.

    Raises importlib.metadata.PackageNotFoundError for one that is not installed here.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()
    wanted = {pair for line in lines for pair in _pairs(Requirement(line))}
    while left := wanted - done:
        name, extra = left.pop()
        done.add((name, extra))
        found[name] = importlib.metadata.distribution(name)
        for requirement in map(Requirement, found[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted |= _pairs(requirement)
    return found


def _pairs(requirement: Requirement) -> set[tuple[str, str]]:
    """Its name with each of its extras, and with none."""
    return {(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)}


@dataclass(frozen=True)
class Environment:
    """A folder of links that runs Python."""

    folder: Path

    def python(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Python with these words, finding webinfer and what is linked, away from the checkout."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("WEBINFER_", "PYTHON"))}
        return subprocess.run(
            [sys.executable, "-S", *words],
            cwd=self.folder,
            env=clean | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


def link_environment(folder: Path, *extras: str) -> Environment:
    """An environment in `folder` with webinfer and `extras`."""
    for distribution in find_distributions(requirements(*extras)).values():
        for path in distribution.files or ():
            if ".." not in path.parts:  # scripts and data outside of site-packages
                _link(Path(str(distribution.locate_file(path))), folder / path)
    ours = importlib.metadata.distribution("webinfer")
    for path in ours.files or ():
        if path.parts[0].endswith(".dist-info"):  # entry points
            _link(Path(str(ours.locate_file(path))), folder / path)
    for room in ("browser_runtime", "tasks", "workers", "scheduler", "webinfer", "fixed_web_platform"):
        _link(ROOT / room, folder / room)
    return Environment(folder)


def _link(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
