"""The Python packages that an image needs, one a line: `python packages.py worker pyproject.toml`.

Their versions come from requirements.lock. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

# Drivers are copied into the image of the one browser that needs them.
EXTRAS: dict[str, tuple[str, ...]] = {"worker": ("worker",), "scheduler": ("scheduler", "monitor")}


def select_packages(project: dict[str, dict[str, object]], role: str) -> list[str]:
    """The requirements of `role`, as pyproject.toml writes them."""
    table = project["project"]
    extras: dict[str, list[str]] = table["optional-dependencies"]  # type: ignore[assignment]
    wanted: list[str] = list(table["dependencies"])  # type: ignore[call-overload]
    return wanted + [requirement for extra in EXTRAS[role] for requirement in extras[extra]]


if __name__ == "__main__":
    role, path = sys.argv[1:]
    print(*select_packages(tomllib.loads(Path(path).read_text()), role), sep="\n")
