"""The quickest kernels of each adapter and browser build: measured once, kept for sessions and workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import structlog

from browser_runtime.contract.answers import LoadAnswer
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.vocabulary import Backend

log = structlog.get_logger(__name__)

# Of a second of sound, and of a whole window.
FRONT_END_TIMES = ("short_ms", "long_ms")
BACKENDS = (Backend.WEBGPU, Backend.WASM)
KERNELS = Path(__file__).parents[1] / "page" / "kernels"


FILE = "kernels.json"
BETWEEN = " | "


@dataclass(frozen=True, slots=True)
class KeptChoice:
    """What was measured in a browser on one backend, for whoever asks which is the quickest."""

    browser: str
    build: str
    backend: str
    adapter: str
    kernels: str
    decode_ms: float
    """A token's product."""
    prefill_ms: float
    """The product of a piece of a prompt."""


def list_choices(cache_dir: Path) -> list[KeptChoice]:
    """What is kept of the kernels as they are now, the quickest of each browser first."""
    found = []
    for key, choice in _read(cache_dir / FILE).items():
        build, backend, place = [*key.split(BETWEEN, 2), "", ""][:3]
        adapter, _, stamp = place.rpartition(BETWEEN)
        if stamp == _stamp() and _is_choice(choice) and isinstance(choice.get("browser"), str):
            row = min(choice["measured"], key=_weigh)
            times = (float(row["decode_ms"]), float(row["prefill_ms"]))
            kept = KeptChoice(choice["browser"], build, backend, adapter, choice["kernels"], *times)
            found.append((kept.browser, _weigh(row), kept))
    return [kept for *_, kept in sorted(found, key=lambda each: each[:2])]


class KernelChoices:
    """What was measured on the adapters of one browser build; the file in `cache_dir` holds all builds."""

    def __init__(self, cache_dir: Path, build: str, browser: str) -> None:
        self._path, self._build, self._browser = cache_dir / FILE, build, browser
        self.capabilities = Capabilities({})
        """Of the open session: they name its adapters."""

    def find(self, backend: Backend) -> dict[str, Any] | None:
        """The `kernels` and the times `measured` that were kept; None where nothing is known."""
        found = _read(self._path).get(self._key(backend))
        return {name: found[name] for name in ("kernels", "measured")} if _is_choice(found) else None

    def find_front_ends(self) -> dict[str, Any]:
        """Times of the front ends of sounds on the open session's GPU, by plan, as they were kept."""
        found = _read(self._path).get(self._key(Backend.WEBGPU, "front ends"))
        plans = found if isinstance(found, dict) else {}
        return {plan: rows for plan, rows in plans.items() if _are_times(rows, FRONT_END_TIMES)}

    def keep(self, backend: Backend, answer: LoadAnswer) -> None:
        """Keeps what a page measured before it opened a model, if it did."""
        details = answer.get("details", {})
        if details.get("measured_before") is False:
            self.keep_choice(backend, {**details, "kernels": answer.get("kernel")})
        front_ends = details.get("front_ends", {})
        if front_ends.get("measured_before") is False and _are_times(
            front_ends.get("measured"), FRONT_END_TIMES
        ):
            plans = {**self.find_front_ends(), str(front_ends.get("plan")): front_ends["measured"]}
            self._keep(self._key(Backend.WEBGPU, "front ends"), plans)

    def keep_choice(self, backend: Backend, answer: Mapping[str, Any]) -> None:
        """Keeps what a call `kernels` chose."""
        choice = {"kernels": answer.get("kernels"), "measured": answer.get("measured")}
        if _is_choice(choice):
            self._keep(self._key(backend), {**choice, "browser": self._browser})

    def unmeasured(self) -> tuple[Backend, ...]:
        """The backends that have to be measured before one is the quickest.

        None where there is no choice, or where the GPU is not proved to be hardware: such a one never was.
        """
        able = [backend for backend in BACKENDS if self.capabilities.can(backend)]
        is_open = len(able) > 1 and self.capabilities.adapter(Backend.WEBGPU).software is False
        return tuple(backend for backend in able if is_open and self.find(backend) is None)

    def times_ms(self) -> dict[Backend, float]:
        """What the quickest kernels of each backend take for a token and an eighth of a piece of a prompt."""
        found = {backend: self.find(backend) for backend in BACKENDS if self.capabilities.can(backend)}
        return {backend: min(map(_weigh, choice["measured"])) for backend, choice in found.items() if choice}

    def _key(self, backend: Backend, *what: str) -> str:
        adapter = self.capabilities.adapter(backend).name
        return BETWEEN.join((self._build, str(backend), adapter, _stamp(), *what))

    def _keep(self, key: str, value: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._write({**_read(self._path), key: value})

    def _write(self, choices: Mapping[str, Any]) -> None:
        """Replaces the file at once: another worker reads the old one or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=self._path.parent, prefix=".kernels-")
        try:
            with os.fdopen(number, "w") as file:
                json.dump(choices, file, indent=1)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        log.info("kernels chosen", build=self._build, file=str(self._path))


def _read(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is missing or no JSON object."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _weigh(row: Mapping[str, Any]) -> float:
    """As the page weighs it (page/engines/low_bits/variants.js)."""
    return float(row["decode_ms"]) + float(row["prefill_ms"]) / 8


def _is_choice(found: object) -> TypeGuard[dict[str, Any]]:
    if not isinstance(found, dict) or not isinstance(found.get("kernels"), str):
        return False
    return _are_times(found.get("measured"), ("decode_ms", "prefill_ms"))


def _are_times(rows: object, times: Sequence[str]) -> bool:
    """True for a list of rows that have a number under each of those names."""
    return (
        isinstance(rows, list)
        and len(rows) > 0
        and all(
            isinstance(row, dict) and all(isinstance(row.get(t), int | float) for t in times) for row in rows
        )
    )


@cache
def _stamp() -> str:
    """A hash of every kernel: what others were measured at says nothing of these."""
    digest = hashlib.sha256()
    for path in sorted(p for folder in ("wasm", "wgsl") for p in (KERNELS / folder).iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
