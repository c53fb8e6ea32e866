"""`webinfer models`: lists, downloads, imports, verifies and removes models."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.families import find_row
from browser_runtime.contract.vocabulary import parse_precision
from browser_runtime.models.hub.downloading import Progress as FetchProgress
from browser_runtime.models.intake.trial import TrialRun, try_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from webinfer.commands.models_quantize import pack, quantize_model
from webinfer.commands.parameters import AS_JSON, FAMILY_NAMES, PRECISIONS, ModelName
from webinfer.tables import SafeConsole, output_console
from webinfer.words import say

if TYPE_CHECKING:
    from webinfer.proving import Proof


PROVE = click.option(
    "--prove",
    is_flag=True,
    help="First run the model in every browser and backend of this machine, and compare the results.",
)


@click.group("models")
def command() -> None:
    """List, download, import, verify and remove models.

    Models are kept in WEBINFER_MODELS_DIR (default: ~/.local/share/webinfer/models).
    """


command.add_command(quantize_model)


@command.command("list")
@AS_JSON
def list_models(as_json: bool) -> None:
    """List the models on this machine, and the known ones that are downloaded on first use."""
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
@click.option(
    "--precision",
    type=PRECISIONS,
    help="Precision of the weights. Default: fp32; for a language model 4bit.",
)
@click.option("--family", type=FAMILY_NAMES, help="The kind of model, if its config.json does not show it.")
@click.option(
    "--revision",
    help="Commit of the repository. Default: the one pinned in webinfer's catalogue, else the newest.",
)
@PROVE
def pull_model(
    name: str, precision: str | None, family: str | None, revision: str | None, prove: bool
) -> None:
    """Download the model NAME from the Hugging Face Hub.

    NAME is a short name of `webinfer models list` or an org/name of the Hub. An interrupted download is
    resumed. An ONNX model is run once in Python's onnxruntime, and stored only if that works. In 2 to 16 bits
    a language model is quantised here, from its safetensors or a GGUF file.
    """
    chosen = find_row(family, "--family") if family else None
    wanted = parse_precision(precision, "--precision") if precision else None
    proving = Proving()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=SafeConsole(stderr=True)) as bars:
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
        proving(model, try_model(model, (wanted or model.family.precision,)))
    say(f"{model.name} at {model.revision} in {model.folder}")
    _tell_doubts(model)
    proving.show()


@command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="Name that requests will use. Default: the name of the folder or file.")
@click.option("--family", type=FAMILY_NAMES, help="The kind of model, if its config.json does not show it.")
@PROVE
def import_model(path: Path, name: str | None, family: str | None, prove: bool) -> None:
    """Copy a model of your own into the store.

    PATH is an ONNX file, a folder in the layout of the Hugging Face Hub, or a GGUF file. An ONNX model is run
    once in Python's onnxruntime, and stored only if that works. A language model is stored with weights of
    16 bits; `webinfer models quantize` makes fewer of them.
    """
    from browser_runtime.models.intake.importing import import_model as take
    from browser_runtime.models.intake.quantising import AS_IT_IS, find_source, is_language_model

    chosen = find_row(family, "--family") if family else None
    if is_language_model(path):
        if prove:
            raise BadInput("--prove", "given", "left out: a language model is held to its original instead")
        from browser_runtime.low_bits.quantising.packing_up import Wish

        source = find_source(str(path), ModelStore())
        pack(source, Wish(AS_IT_IS), name or source.name, None)
        return
    proving = Proving()
    model = take(
        path,
        name or path.resolve().stem,
        family=chosen,
        store=ModelStore(),
        prove=proving if prove else None,
    )
    say(f"{model.name} ({model.family}) in {model.folder}")
    _tell_doubts(model)
    proving.show()


class Proving:
    """Runs a model in the browsers of this machine before it is stored, and shows the results afterwards."""

    def __init__(self) -> None:
        self.proofs: list[Proof] = []

    def __call__(self, model: StoredModel, runs: Sequence[TrialRun]) -> None:
        """Run the model. Raises BadRequest if no browser gives the right answer."""
        from webinfer.proving import prove_model

        with SafeConsole(stderr=True).status("proving the model") as status:
            self.proofs = prove_model(model, runs, status.update)

    def show(self) -> None:
        """Print a table of the results."""
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
    """Print the warnings that every reply of this model will carry: gaps and unknown values in its files."""
    from browser_runtime.families.processor import PROCESSORS

    for warning in PROCESSORS.take(model).warnings():
        say(f"warning: {warning}", err=True)


@command.command("remove")
@click.argument("names", nargs=-1, required=True, type=ModelName())
def remove_models(names: tuple[str, ...]) -> None:
    """Delete models from this machine.

    Built-in models, and those that a worker has loaded, are refused.
    """
    store = ModelStore()
    for name in names:
        gone = store.remove(name)
        say(f"{gone.name} removed: {gone.n_files} files, {gone.freed_bytes / 1e6:.1f} MB freed")


@command.command("verify")
@click.argument("names", nargs=-1, type=ModelName())
def verify_models(names: tuple[str, ...]) -> None:
    """Check the files of models against their SHA-256 checksums.

    Without NAMES, checks every model on this machine. Exit code 1 if a file is missing or damaged.
    """
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
