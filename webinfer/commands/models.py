"""`webinfer models`: what models there are; fetch, import, check and remove them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from browser_runtime.contract.vocabulary import Family, parse_family, parse_precision
from browser_runtime.models.downloading import Progress as FetchProgress
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.models.trial import TrialRun, try_model
from webinfer.commands.parameters import FAMILIES, PRECISIONS, ModelName
from webinfer.tables import output_console

if TYPE_CHECKING:
    from webinfer.proving import Proof


PROVE = click.option(
    "--prove", is_flag=True, help="First run it in each browser on this machine, on each backend there."
)


@click.group("models")
def command() -> None:
    """List, pull, import, verify and remove models."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """Every model on this machine, and those known by a short name that a first use would fetch."""
    entries = ModelStore().listing()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    table = Table("name", "family", "where", "precisions", "size", "revision", "licence", "problem")
    for entry in entries:
        size = "-" if entry.size_bytes is None else f"{entry.size_bytes / 1e6:.1f} MB"
        words = (entry.name, entry.family, entry.where, ", ".join(entry.precisions), size)
        table.add_row(*map(escape, (*words, entry.revision[:12], entry.license, entry.problem)))
    output_console().print(table)


@command.command("pull")
@click.argument("name", type=ModelName())
@click.option("--precision", default="fp32", show_default=True, type=PRECISIONS, help="Of the weights.")
@click.option("--family", type=FAMILIES, help="Only where it cannot be told from the model's config.json.")
@click.option(
    "--revision", help="A commit of the repository; default: the one the catalogue pins, or the newest."
)
@PROVE
def pull_model(name: str, precision: str, family: str | None, revision: str | None, prove: bool) -> None:
    """Fetch NAME, a short name or a Hugging Face id, from the Hub; resumes what was cut off.

    The model runs once in Python's onnxruntime before it enters the store.
    """
    chosen = parse_family(family, "--family") if family else None
    wanted = parse_precision(precision, "--precision")
    proving = Proving()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(name, total=None)

        def tell(progress: FetchProgress) -> None:
            bars.update(
                bar, description=progress.path, completed=progress.done_bytes, total=progress.total_bytes
            )

        def prove_fetched(model: StoredModel, runs: Sequence[TrialRun]) -> None:
            bars.stop()  # two moving displays would write over each other
            proving(model, runs)

        model = ModelStore().pull(
            name,
            wanted,
            family=chosen,
            revision=revision,
            progress=tell,
            prove=prove_fetched if prove else None,
        )
    if prove and not proving.proofs:  # it was here already
        proving(model, try_model(model, (wanted,)))
    click.echo(f"{model.name} at {model.revision} in {model.folder}")
    _tell_doubts(model)
    proving.show()


@command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What requests will call it; default: the folder's or file's name.")
@click.option("--family", type=FAMILIES, help="Only where it cannot be told from the model's config.json.")
@PROVE
def import_model(path: Path, name: str | None, family: str | None, prove: bool) -> None:
    """Take a local ONNX file or Hugging Face folder at PATH into the store.

    The model runs once in Python's onnxruntime before it enters the store.
    """
    from browser_runtime.models.importing import import_model as take

    chosen = parse_family(family, "--family") if family else None
    proving = Proving()
    model = take(
        path,
        name or path.resolve().stem,
        family=chosen,
        store=ModelStore(),
        prove=proving if prove else None,
    )
    click.echo(f"{model.name} ({model.family}) in {model.folder}")
    _tell_doubts(model)
    proving.show()


class Proving:
    """The proofs of a model in the browsers here, made before it enters the store and shown afterwards."""

    def __init__(self) -> None:
        self.proofs: list[Proof] = []

    def __call__(self, model: StoredModel, runs: Sequence[TrialRun]) -> None:
        """Runs the model. Raises BadRequest where no browser gives the right answer."""
        from webinfer.proving import prove_model

        with Console(stderr=True).status("proving the model") as status:
            self.proofs = prove_model(model, runs, status.update)

    def show(self) -> None:
        """Prints a table of what was proved."""
        if not self.proofs:
            return
        table = Table("browser", "backend", "precision", "answer", "load", "compute")
        for proof in self.proofs:
            times = [f"{ms:.0f} ms" if proof.is_right else "" for ms in (proof.load_ms, proof.compute_ms)]
            mark = (
                "[green]right"
                if proof.is_right
                else "[yellow]not tried: "
                if not proof.was_tried
                else "[red]"
            )
            place = (proof.build or proof.browser, proof.backend, proof.precision)
            table.add_row(*map(escape, place), f"{mark}{escape(proof.problem)}", *times)
        output_console().print(table)


def _tell_doubts(model: StoredModel) -> None:
    """What each of the model's replies will warn of: what its files do not say, or say in unknown words."""
    if model.family is Family.TEXT_EMBEDDING:
        from browser_runtime.texts.preprocessor import PREPROCESSORS

        for warning in PREPROCESSORS.take(model).describe()["warnings"]:
            click.echo(f"warning: {warning}", err=True)


@command.command("remove")
@click.argument("names", nargs=-1, required=True, type=ModelName())
def remove_models(names: tuple[str, ...]) -> None:
    """Delete the NAMED models from this machine; built-in ones, and those a worker has loaded, stay."""
    store = ModelStore()
    for name in names:
        gone = store.remove(name)
        click.echo(f"{gone.name} removed: {gone.n_files} files, {gone.freed_bytes / 1e6:.1f} MB freed")


@command.command("verify")
@click.argument("names", nargs=-1, type=ModelName())
def verify_models(names: tuple[str, ...]) -> None:
    """Hold every file of the NAMED models (default: all on this machine) against its SHA-256."""
    store = ModelStore()
    chosen = names or tuple(entry.name for entry in store.listing() if entry.where != "hub")
    console, broken = output_console(), False
    for name in chosen:
        found = store.verify(name)
        broken = broken or not found.whole
        for check in found.files:
            if check.problem:
                console.print(f"[red]{escape(f'{name}/{check.path}')}[/]: {escape(check.problem)}")
        if found.whole:
            console.print(f"[green]{name}[/]: {len(found.files)} files as the manifest says")
    sys.exit(1 if broken else 0)
