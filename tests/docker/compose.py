"""What docker-compose.yml says of a service, as the Docker API wants it: the tests run what users run."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@cache
def read_compose() -> dict[str, Any]:
    """The file, anchors followed, variables as they stand."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def service(name: str) -> dict[str, Any]:
    """One service."""
    found: dict[str, Any] = read_compose()["services"][name]
    return found


def fill(text: str) -> str:
    """`text` with each variable at its default."""
    return VARIABLE.sub(lambda match: match[3] if match[2] == "-" else "", text)


def run_options(name: str) -> dict[str, Any]:
    """How the service's container is confined, as keyword arguments of docker-py's `containers.run`."""
    told = service(name)
    folders = (entry.partition(":") for entry in told.get("tmpfs", []))
    return {
        "init": told["init"],
        "read_only": told["read_only"],
        "cap_drop": told["cap_drop"],
        "security_opt": [_embed(option) for option in told["security_opt"]],
        "tmpfs": {folder: options for folder, _, options in folders},
        "shm_size": told.get("shm_size"),
    }


def _embed(option: str) -> str:
    """The Docker API takes a profile's text, the compose file its path."""
    kind, _, value = option.partition(":")
    return f"{kind}={(ROOT / value).read_text()}" if kind == "seccomp" else option
