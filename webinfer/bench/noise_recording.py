"""Records how the time of one model wanders on this machine: a single run every second or two, for hours."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.documents import Document, make_document
from webinfer.bench.laboratory.sessions import OpenArm, Start

CPU_PRESSURE = Path("/proc/pressure/cpu")
# What was recorded reaches its file this often, so that a cut run is not lost.
SAVE_EVERY_S = 60.0


@dataclass(slots=True)
class Recording:
    """Samples in time order, a column each; all of one warm session."""

    arm: str
    model: str
    every_s: float
    start: Start
    at_s: list[float] = field(default_factory=list)
    """Seconds since the first sample."""
    run_ms: list[float] = field(default_factory=list)
    """One run, without waiting for a lane."""
    compute_ms: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    """The machine's load average over one minute."""
    pressure: list[float | None] = field(default_factory=list)
    """Per cent of the last ten seconds in which something waited for a processor; None where unknown."""

    def to_document(self) -> Document:
        """The document of the recording."""
        columns = {name: values for name, values in asdict(self).items() if isinstance(values, list)}
        body = {"arm": self.arm, "models": [self.model], "every_s": self.every_s, "ran": self.start.facts}
        hours = (self.at_s[-1] - self.at_s[0]) / 3600 if self.at_s else 0.0
        return make_document("noise", f"{len(self.at_s)} runs in {hours:.1f} h", body | {"samples": columns})


async def record(
    arm: Arm, minutes: float, every_s: float, save: Callable[[Recording], None], tell: Callable[[str], None]
) -> Recording:
    """One warm session of `arm`, run once every `every_s` for `minutes`. Raises ArmFailed."""
    opened = OpenArm("the arm", arm)
    await opened.open()
    found = Recording(arm.text, arm.model, every_s, opened.start)
    try:
        began = saved = time.monotonic()
        while (now := time.monotonic()) < began + 60 * minutes:
            _note(found, now - began, await opened.run())
            tell(f"{(now - began) / 60:.0f} of {minutes:g} min, {len(found.at_s)} runs")
            if now > saved + SAVE_EVERY_S:
                saved = now
                save(found)
            # From the time that was intended: a slow run does not shift those after it.
            await asyncio.sleep(every_s - (time.monotonic() - began) % every_s)
    finally:
        await opened.close()
        save(found)
    return found


def _note(found: Recording, at_s: float, steps: dict[str, float]) -> None:
    found.at_s.append(round(at_s, 3))
    found.run_ms.append(round(sum(steps.values()), 4))
    found.compute_ms.append(round(steps["compute_ms"], 4))
    found.load.append(round(os.getloadavg()[0], 2))
    found.pressure.append(read_pressure())


def read_pressure(path: Path = CPU_PRESSURE) -> float | None:
    """The share of ten seconds in which something waited for a processor, in per cent (Linux' PSI)."""
    try:
        words: dict[str, Any] = dict(word.split("=") for word in path.read_text().split("\n")[0].split()[1:])
        return float(words["avg10"])
    except (OSError, ValueError, KeyError):
        return None
