"""Experiments as JSON: one schema for all commands, with a version (docs/laboratory.md). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from scheduler.experiments.reading import VERSION
from webinfer.bench.laboratory import verdicts
from webinfer.bench.laboratory.comparing import PHASES, Comparison
from webinfer.bench.laboratory.estimates import Interval
from webinfer.bench.laboratory.machine import this_machine

SCHEMA = "webinfer-experiment"

Document = dict[str, Any]
"""What a file of an experiment holds."""


def make_document(kind: str, verdict: str, body: Mapping[str, Any]) -> Document:
    """The document of one experiment that ended now, on this machine."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "kind": kind,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": this_machine().to_plain(),
        "verdict": verdict,
        **body,
    }


def read_document(path: Path, kind: str) -> Document:
    """The document in a file. Raises BadInput for another kind, another version or no such file at all."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput("file", repr(str(path)), f"JSON ({error})") from None
    return check_document(plain, kind, str(path))


def check_document(plain: Any, kind: str, where: str) -> Document:
    """`plain` if it is a document of that kind. Raises BadInput."""
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise BadInput("file", repr(where), f"an experiment of webinfer ({SCHEMA})")
    if plain.get("version") != VERSION:
        raise BadInput("file", f"{where!r} of version {plain.get('version')!r}", f"of version {VERSION}")
    if plain.get("kind") != kind:
        raise BadInput("file", f"{where!r} of a {plain.get('kind')!r}", f"of a {kind}")
    return plain


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Raises BadInput where a document from `where` lacks a part, or has another kind of value there."""
    try:
        yield
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise BadInput(
            "file", f"{where!r}, which is not as documented ({told})", "as webinfer wrote it"
        ) from error


def comparison_document(comparison: Comparison) -> Document:
    """A comparison with every block."""
    return make_document(
        "compare",
        verdicts.sentence(comparison),
        {
            "a": comparison.a.to_plain(),
            "b": comparison.b.to_plain(),
            "within": comparison.limits.within,
            "budget_s": comparison.limits.budget_s,
            "is_narrow": comparison.is_narrow,
            "cut": comparison.cut,
            "seconds": comparison.seconds,
            "answers_differ": comparison.answers_differ,
            "ratios": {name: _phase(comparison, name) for name in PHASES},
            "difference_ms": comparison.share_of_steps,
            "blocks": [{"a": block.a.to_plain(), "b": block.b.to_plain()} for block in comparison.blocks],
        },
    )


def _phase(comparison: Comparison, name: str) -> dict[str, float | int | None]:
    a, b = comparison.medians(name)
    interval = comparison.steady if name == "steady" else comparison.phase(name)
    return {"a": a, "b": b, **interval_plain(interval)}


def interval_plain(interval: Interval) -> dict[str, float | int | None]:
    """An interval as JSON takes it, which has no infinity."""
    is_known = interval.n >= 2 and interval.high < 1e6
    return {
        "ratio": interval.ratio if interval.n else None,
        "low": interval.low if is_known else None,
        "high": interval.high if is_known else None,
        "n": interval.n,
    }


def write_document(document: Document) -> str:
    """The document as text."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
