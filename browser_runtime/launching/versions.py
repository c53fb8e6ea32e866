"""Asks programs for their versions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

TIMEOUT_S = 20


def read_version(binary: Path) -> str:
    """Return the output of `binary --version`; empty where there is none."""
    try:
        said = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+\S*", said)
    return found.group() if found else ""
