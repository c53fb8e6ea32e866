"""What a program says of its version."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

TIMEOUT_S = 20


def read_version(binary: Path) -> str:
    """What `binary --version` says; empty where it says nothing."""
    try:
        said = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+\S*", said)
    return found.group() if found else ""
