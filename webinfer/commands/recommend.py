"""`webinfer recommend`: ranks the ways to run a model by measured speed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click
import redis
from rich.table import Table

from browser_runtime.contract.errors import BadInput, UnknownModel
from browser_runtime.contract.families import FAMILIES, parse_family, usual_precision
from browser_runtime.contract.vocabulary import Browser, Family, Precision, parse_backend, parse_precision
from browser_runtime.models.store import ModelStore
from browser_runtime.session.kernel_choices import KeptChoice, list_choices
from browser_runtime.settings import RuntimeSettings
from scheduler.history.asking import LookUp
from scheduler.routing.configurations import Recommendation, rank_configurations
from scheduler.routing.evidence import Evidence
from scheduler.routing.publishing import look_up_conditions, look_up_evidence
from scheduler.routing.ranking import BrowserCondition, Policy, Ranked
from scheduler.routing.table import Subject, rank_subject
from scheduler.settings import SchedulerSettings
from tasks.app import app
from webinfer.commands.parameters import AS_JSON, BACKENDS, MODEL_TYPES, PRECISIONS, ModelName
from webinfer.tables import SafeConsole, output_console, plain_text

if TYPE_CHECKING:
    from webinfer.bench.trials import Trials

ENGINE = "low_bits"


@click.command("recommend")
@click.argument("model", type=ModelName())
@click.option(
    "--model-type",
    "-t",
    type=MODEL_TYPES,
    help="The kind of model; needed only if it was never run and is not on this machine.",
)
@click.option(
    "--precision",
    type=PRECISIONS,
    help="Precision of the weights. Default: fp32; 4bit for text generation.",
)
@click.option("--backend", type=BACKENDS, help="Compare the browsers on this backend alone.")
@click.option(
    "--trials",
    type=click.IntRange(2, 1000),
    help="Run the model this many times in every way that this machine has, five seconds each at most, and "
    "rank by that, not by the history.",
)
@AS_JSON
def command(
    model: str,
    model_type: str | None,
    precision: str | None,
    backend: str | None,
    trials: int | None,
    as_json: bool,
) -> None:
    """Rank the ways to run MODEL by measured speed, and say how certain that is.

    First the browsers, as the router ranks them. Then every way that was measured: browser, backend,
    precision and what of the table of acceleration was on; and what follows for each of these choices. Only
    speed is ranked: answers in fewer bits differ.
    """
    settings = SchedulerSettings()
    history = LookUp(settings)
    asked = parse_family(model_type, "--model-type") if model_type else None
    if trials:  # which take minutes
        _choose_precision(model, asked or _family_of(model, []), precision)
    tried = _try(model, precision, trials) if trials else None
    evidence = look_up_evidence(history) if tried is None else tried.evidence
    family = asked or _family_of(model, evidence)
    wanted = str(parse_backend(backend, "--backend")) if backend else ""
    chosen = _choose_precision(model, family, precision)
    subject = Subject(family, model, str(chosen), wanted)
    policy = Policy(settings.routing_exploration, _conditions(history))
    kept = _kernels_of(model, family, chosen, wanted)
    ranking = tuple(_expect_backend(each, kept) for each in rank_subject(subject, evidence, policy))
    by_flags = look_up_evidence(history, with_flags=True) if tried is None else tried.evidence
    found = rank_configurations(
        each
        for each in by_flags
        if (each.family, each.model) == (family, model)
        and wanted in ("", each.backend)
        and (precision is None or each.precision == str(chosen))
    )
    failures = {} if tried is None else tried.failures
    if as_json:
        plain = _plain(subject, ranking) | {"configurations": _plain_ways(found), "failures": failures}
        plain["kernels"] = [asdict(each) for each in kept]
        click.echo(json.dumps(plain, indent=2))
    else:
        _show(subject, ranking)
        _show_ways(found, failures)
        _show_kernels(kept)


def _try(model: str, precision: str | None, n: int) -> Trials:
    from webinfer.bench.trials import run_trials

    precisions = [parse_precision(precision, "--precision")] if precision else []
    with SafeConsole(stderr=True).status("starting") as status:
        return run_trials(model, list(Browser), precisions, n, status.update)


def _kernels_of(model: str, family: Family, precision: Precision, backend: str) -> list[KeptChoice]:
    """What was measured here of the kernels that the model runs on; nothing where another engine runs it."""
    stored = ModelStore().find(model)
    if stored is not None and precision in stored.precisions:
        is_ours = ENGINE in stored.graphs(precision)
    else:
        is_ours = family is Family.TEXT_GENERATION and precision.endswith("bit")
    kept = list_choices(RuntimeSettings().cache_dir.expanduser()) if is_ours else []
    return [each for each in kept if backend in ("", each.backend)]


def _expect_backend(ranked: Ranked, kept: list[KeptChoice]) -> Ranked:
    """With the backend whose kernels are the quickest there, where the model itself never ran."""
    quickest = next((each.backend for each in kept if each.browser == ranked.browser), "")
    return ranked if ranked.backend else replace(ranked, backend=quickest)


def _family_of(model: str, evidence: list[Evidence]) -> Family:
    """The family of a model by the history, else by its files. Raises UnknownModel."""
    for each in evidence:
        if each.model == model:
            return each.family
    listed = {entry.name: entry.family for entry in ModelStore().listing()}
    if model not in listed:
        raise UnknownModel(repr(model), "it was never run, and is not on this machine; say --model-type")
    if listed[model] not in FAMILIES:
        raise BadInput("--model-type", "missing", f"given for {model}, whose files do not tell it")
    return FAMILIES[listed[model]].model_types[0]


def _choose_precision(model: str, family: Family, given: str | None) -> Precision:
    """The one given, or the usual one that the model comes in.

    Raises BadInput where the model's files say that it never runs so.
    """
    usual, stored = usual_precision(family), ModelStore().find(model)
    chosen = parse_precision(given, "--precision") if given else usual
    if stored is None:
        return chosen
    stored.require_family(family)
    if given is None and stored.precisions and usual not in stored.precisions:
        return stored.precisions[0]
    if "hub" not in stored.extra:  # of which other precisions can be had
        stored.graphs(chosen)
    return chosen


def _conditions(history: LookUp) -> dict[Browser, BrowserCondition]:
    """Each browser's condition now; empty if Redis does not answer, and all count as well then."""
    try:
        return look_up_conditions(history, app.redis, app.settings.redis_prefix)
    except redis.RedisError:
        return {}


def _plain(subject: Subject, ranking: tuple[Ranked, ...]) -> dict[str, object]:
    rows = [asdict(each) | {"browser": str(each.browser)} for each in ranking]
    return asdict(subject) | {"family": str(subject.family), "ranking": rows}


def _plain_ways(found: Recommendation) -> dict[str, object]:
    ways = [asdict(each) | {"way": asdict(each.way)} for each in found.ways]
    return {"ways": ways, "advice": [asdict(each) for each in found.advice]}


def _show_ways(found: Recommendation, failures: Mapping[str, str]) -> None:
    console = output_console()
    names = ("browser", "backend", "precision", "with", "measured ms", "within", "runs", "quickest")
    table = Table(*names, title="every way that was measured")
    for each in found.ways:
        way = each.way
        table.add_row(
            str(way.browser),
            way.backend,
            way.precision,
            ", ".join(way.accelerations) or "-",
            f"{each.measured_ms:.1f}",
            f"x{each.error_factor:.2f}",
            str(each.n_runs),
            f"{each.chance:.0%}",
        )
    if found.ways:
        console.print(table)
    for advice in found.advice:
        console.print(f"- {advice}", markup=False)
    for name, why in failures.items():
        console.print(f"- not measured: {name}: {why}", markup=False)


def _show_kernels(kept: list[KeptChoice]) -> None:
    """Print what was measured of the kernels."""
    if not kept:
        return
    names = ("browser", "backend", "adapter", "quickest kernels", "ms a token", "ms a piece of a prompt")
    table = Table(*names, title="kernels of low-bit models, measured once for each adapter and build")
    for each in kept:
        times = (f"{each.decode_ms:.2f}", f"{each.prefill_ms:.2f}")
        table.add_row(
            plain_text(each.build), each.backend, plain_text(each.adapter or "-"), each.kernels, *times
        )
    output_console().print(table)


def _show(subject: Subject, ranking: tuple[Ranked, ...]) -> None:
    title = f"{subject.model} ({subject.family}), {subject.precision}"
    table = Table(
        "browser", "backend", "measured ms", "runs", "expected ms", "within", "quickest", "share", title=title
    )
    for each in ranking:
        table.add_row(
            str(each.browser),
            each.backend or "-",
            "-" if each.measured_ms is None else f"{each.measured_ms:.1f}",
            str(each.n_runs),
            "-" if each.expected_ms is None else f"{each.expected_ms:.1f}",
            f"x{each.error_factor:.2f}",
            f"{each.chance:.0%}",
            f"{each.share:.1%}",
        )
    console = output_console()
    console.print(table)
    for each in ranking:
        console.print(f"- {each.reason}", markup=False)
