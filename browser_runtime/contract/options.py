"""The options of a request, by family: one table that producer, worker, command and documentation read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import FAMILIES, rows_of, served_families
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.option import SHOWN_CHARACTERS, Kind, Option
from browser_runtime.contract.vocabulary import Family, shown

COMMON_OPTIONS = {
    option.name: option
    for option in (
        Option(
            "compute_shaders",
            Kind.FLAG,
            "compute the log-mel picture of a sound in a compute shader; default: where that was measured to "
            "be quicker, once a request has asked for it. The reply says where it is not done, and why",
        ),
        Option(
            "precompile_shaders",
            Kind.FLAG,
            "compile a model's shaders for WebGPU while it is loaded; default on, off on software adapters, "
            "where it takes longer than it saves. Off, the first run does",
        ),
        Option(
            "mixed_precision",
            Kind.FLAG,
            "take the weights in `mixed` precision, bits by tensor, unless `precision` names another; the "
            "reply says where a model has none",
        ),
        Option(
            "parallel_loading",
            Kind.FLAG,
            "fetch all graphs of a model at once while the first is compiled; default off",
        ),
        Option(
            "reuse_results",
            Kind.FLAG,
            "take results of encoders that were computed before; default on. Off, this request computes all "
            "anew, to be measured or to check a device",
            usual=True,
        ),
        Option(
            "tensor_sharing",
            Kind.FLAG,
            "share graphs, weights and results of encoders with other models; default on. Off, the model has "
            "its own, and computes everything anew",
            opens=True,
            usual=True,
        ),
        Option(
            "dynamic_shapes",
            Kind.FLAG,
            "give WebNN graphs of open shapes, and WebGPU texts of every length, to measure them",
            opens=True,
        ),
        Option(
            "layout",
            Kind.WORD,
            "the layout in which WebGPU computes convolutions, to measure it; default NCHW",
            words=("NCHW", "NHWC"),
            opens=True,
            usual="NCHW",
        ),
    )
}
"""The options of every family."""


def list_options() -> Iterator[tuple[Option, tuple[Family, ...]]]:
    """Yields each option with the model types that have it: those of the families, then the common ones."""
    found: dict[Option, list[Family]] = {}
    for row in FAMILIES.values():
        for option in row.options:
            found.setdefault(option, []).extend(row.model_types)
    for option, families in found.items():
        yield option, tuple(dict.fromkeys(families))
    for option in COMMON_OPTIONS.values():
        yield option, served_families()


SEED = "seed"
"""Its option; left out, the producer draws one (`messages.Request.drawn_seed`)."""

FLAGS = tuple(dict.fromkeys(option.name for option, _ in list_options() if option.kind is Kind.FLAG))
LOAD_FLAGS = {option.name: option.usual for option, _ in list_options() if option.opens}
"""Those options that change how a model is opened, with the value that does not."""


def options_of(family: Family) -> dict[str, Option]:
    """The options that a request of `family` may have, by name."""
    return {option.name: option for row in rows_of(family) for option in row.options} | COMMON_OPTIONS


def check_options(options: object, family: Family | None = None) -> dict[str, object]:
    """Returns the given options, without those that are None; every family's are known if none is named.

    Raises BadInput naming an unknown option, or one with a value that it does not allow.
    """
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadInput("options", f"of type {type(options).__name__}", "a dict")
    tables = [options_of(one) for one in (served_families() if family is None else (family,))]
    for name in options:
        if not any(name in table for table in tables):
            known = dict.fromkeys(known for table in tables for known in table)
            raise _unknown(name, known, "any family" if family is None else str(family))
    return {name: _check(name, value, tables) for name, value in options.items() if value is not None}


def require_options_of(row: FamilySpec, options: Mapping[str, object], graphs: Iterable[str]) -> None:
    """Returns if a model of `row` has all those options: another row of its model type may have more.

    `graphs`: the stems of those that run it. Raises BadInput naming the option.
    """
    known = {option.name: option for option in row.options} | COMMON_OPTIONS
    stems = set(graphs)
    for name, value in options.items():
        if name not in known:
            raise _unknown(name, known, row.name)
        wanted = known[name].graphs
        if wanted and value is not None and stems.isdisjoint(wanted):
            allowed = (
                f"left out: the model runs as {' and '.join(sorted(stems))}.onnx, which cannot change it"
            )
            raise BadInput(f"options.{name}", shown(value), allowed)


def _check(name: str, value: object, tables: list[dict[str, Option]]) -> object:
    """Returns the value that one of the options of that name allows. Raises BadInput as the first does."""
    candidates = [table[name] for table in tables if name in table]
    option = next((option for option in candidates if option.allows(value)), candidates[0])
    return option.check(value)


def _unknown(name: object, known: Iterable[str], whose: str) -> BadInput:
    near = suggest(name, known)
    allowed = f"one of {', '.join(known)}"
    return BadInput(f"the option {name!r}"[:SHOWN_CHARACTERS], f"unknown to {whose}{near}", allowed)


def suggest(name: object, known: Iterable[str]) -> str:
    """Returns " (did you mean 'language'?)" if one of `known` is near `name`, else an empty text."""
    near = difflib.get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {near[0]!r}?)" if near else ""
