"""This machine and the code, as experiments are labelled with; what makes two of them comparable."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.telemetry.rows import here

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of a machine that times depend on."""

    processor: str
    n_processors: int
    system: str
    webinfer_version: str

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of processor, their number and system: equal ones are comparable."""
        text = "\x1f".join((self.processor, str(self.n_processors), self.system))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"fingerprint": self.fingerprint}


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The machine that this process runs on."""
    shared = here()
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(_processor(), n, shared["os"], shared["webinfer_version"])


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The first part in which two machines differ so that their times cannot be compared; empty if none."""
    for name, words in (
        ("processor", "processor"),
        ("n_processors", "number of processors"),
        ("system", "system"),
    ):
        if before.get(name) != after.get(name):
            return f"another {words}: {before.get(name)} before, {after.get(name)} now"
    return ""
