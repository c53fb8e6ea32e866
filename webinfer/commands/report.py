"""`webinfer report`: what the history tells, for a browser, a pull request or a program."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from scheduler.history.asking import ask, read_or_ask
from scheduler.reports.daily import write_whole
from scheduler.reports.facts import Report
from scheduler.reports.gathering import gather
from scheduler.reports.writing import write_html, write_json, write_markdown
from scheduler.settings import SchedulerSettings
from webinfer.commands.parameters import DAYS

HTML_FILE = "webinfer-report.html"
WRITERS: dict[str, Callable[[Report], str]] = {
    "html": write_html,
    "markdown": write_markdown,
    "json": write_json,
}
ENDINGS = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}


@click.command("report")
@click.option("--html", is_flag=True, help=f"One page with charts; default file: {HTML_FILE}.")
@click.option("--markdown", is_flag=True, help="Tables; the default.")
@click.option("--json", is_flag=True, help="Every fact.")
@click.option("--days", default=30.0, show_default=True, type=DAYS, help="How far back.")
@click.option("--model", help="Only this model.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, or - for the screen."
)
def command(days: float, model: str | None, output: Path | None, **forms: bool) -> None:
    """What was measured: trends, browsers, optimisations, routing, connections, alerts, scaling.

    Where no form is named, the ending of the file says it: .html, .md or .json.
    """
    form = choose_form([name for name, is_wanted in forms.items() if is_wanted], output)
    report = gather_report(days, model)
    text = WRITERS[form](report)
    if output is None and form == "html":
        output = Path(HTML_FILE)
    if output is None or str(output) == "-":
        click.echo(text)
        return
    try:
        write_whole(output, text)
    except OSError as error:
        raise click.ClickException(f"--output {output} cannot be written: {error.strerror}") from error
    click.echo(output)


def choose_form(named: list[str], output: Path | None) -> str:
    """The one form that is wanted. Raises UsageError where several are named."""
    if len(named) > 1:
        told = " and ".join(f"--{name}" for name in named)
        raise click.UsageError(f"{told}: one form at a time", click.get_current_context())
    by_ending = ENDINGS.get(output.suffix.lower(), "markdown") if output else "markdown"
    return named[0] if named else by_ending


def gather_report(days: float, model: str | None) -> Report:
    """The facts from the file itself where nobody holds it, else from the analytics worker."""
    now_s = time.time()
    return read_or_ask(
        SchedulerSettings(),
        lambda history: gather(history.query, now_s, days, model),
        lambda: gather(ask, now_s, days, model),
    )
