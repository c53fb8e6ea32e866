"""The set of a gate: a TOML file of cells with thresholds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import check_model_name, shown
from webinfer.bench.laboratory.arms import Arm, parse_arm
from webinfer.bench.laboratory.comparing import Limits
from webinfer.bench.laboratory.quantities import read_duration, read_share

DEFAULTS: Mapping[str, Any] = {"fail_above": "5%", "within": "3%", "budget": "120s"}
OF_A_CELL = ("name", "model", "arm", "baseline", *DEFAULTS)


@dataclass(frozen=True, slots=True)
class GateCell:
    """One arm that must not become slower, or answer otherwise."""

    name: str
    arm: Arm
    baseline: Arm | None
    """An arm to run beside it, in turn; None: what an earlier run measured."""
    fail_above: float
    limits: Limits


@dataclass(frozen=True, slots=True)
class GateSet:
    """All cells of a file."""

    name: str
    cells: tuple[GateCell, ...]


def read_set(path: Path, fail_above: float | None = None) -> GateSet:
    """The set in a file; `fail_above` replaces its own thresholds. Raises BadInput naming what is wrong."""
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput("set", repr(str(path)), f"TOML: {error}") from None
    _check_keys(plain, ("name", "cell", *DEFAULTS), "set")
    rows = plain.get("cell")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BadInput("set", f"{str(path)!r} without cells", "one with at least one [[cell]]")
    common = {**DEFAULTS, **{key: plain[key] for key in DEFAULTS if key in plain}}
    cells = tuple(_read_cell(number, {**common, **row}, fail_above) for number, row in enumerate(rows, 1))
    names = [cell.name for cell in cells]
    for name in names:
        if names.count(name) > 1:
            raise BadInput("cell", f"named {name!r} twice", "named once")
    return GateSet(_text(plain.get("name", path.stem), "name"), cells)


def _read_cell(number: int, row: Mapping[str, Any], fail_above: float | None) -> GateCell:
    where = f"cell {number}"
    _check_keys(row, OF_A_CELL, where)
    model = check_model_name(row.get("model"), f"{where}: model")
    words = _text(row.get("arm", ""), f"{where}: arm")
    arm = parse_arm(words, model, f"{where}: arm")
    arm.runtime_settings()
    baseline = None
    if "baseline" in row:
        baseline = parse_arm(_text(row["baseline"], f"{where}: baseline"), model, f"{where}: baseline")
        baseline.runtime_settings()
    threshold = read_share(row["fail_above"], f"{where}: fail_above") if fail_above is None else fail_above
    limits = Limits(
        min(read_share(row["within"], f"{where}: within"), threshold),
        read_duration(row["budget"], f"{where}: budget"),
    )
    return GateCell(
        _text(row.get("name", f"{model} {words}".strip()), where), arm, baseline, threshold, limits
    )


def _check_keys(row: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in row:
        if key not in known:
            raise BadInput(where, f"holding the unknown key {key!r}", f"made of {', '.join(known)}")


def _text(value: object, where: str) -> str:
    if isinstance(value, str) and value.isprintable():
        return value
    raise BadInput(where, shown(value), "a text in one line")
