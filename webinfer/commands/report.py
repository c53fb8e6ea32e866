"""`webinfer report`: a summary of the history as HTML, Markdown or JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from browser_runtime.contract.errors import UnknownModel
from scheduler.files import write_whole
from scheduler.history.asking import ask, read_or_ask
from scheduler.reports.facts import Report
from scheduler.reports.gathering import gather
from scheduler.reports.writing import write_html, write_json, write_markdown
from scheduler.settings import SchedulerSettings
from webinfer.commands.parameters import DAYS, FILE_OR_OUTPUT

HTML_FILE = "webinfer-report.html"
WRITERS: dict[str, Callable[[Report], str]] = {
    "html": write_html,
    "markdown": write_markdown,
    "json": write_json,
}
ENDINGS = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}


@click.command("report")
@click.option(
    "--html",
    is_flag=True,
    help=f"Write an HTML page with charts; into {HTML_FILE} unless --output names another file.",
)
@click.option("--markdown", is_flag=True, help="Write Markdown tables. The default.")
@click.option("--json", is_flag=True, help="Write every figure as JSON.")
@click.option("--days", default=30.0, show_default=True, type=DAYS, help="Days to look back.")
@click.option("--model", help="Report on this model alone.")
@click.option(
    "--output",
    type=FILE_OR_OUTPUT,
    help="File to write; - prints it. A name in .html, .md or .json chooses the format.",
)
def command(days: float, model: str | None, output: Path | None, **forms: bool) -> None:
    """Write a report of what was recorded.

    It shows trends, a comparison of the browsers, the effect of optimisations, routing, connections, alerts
    and scaling. Markdown and JSON are printed unless --output names a file.
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
    """The one format asked for, by flag or by file name. Raises UsageError for several flags."""
    if len(named) > 1:
        flags = " and ".join(f"--{name}" for name in named)
        raise click.UsageError(f"{flags}: choose one format", click.get_current_context())
    by_ending = ENDINGS.get(output.suffix.lower(), "markdown") if output else "markdown"
    return named[0] if named else by_ending


def gather_report(days: float, model: str | None) -> Report:
    """The report, read from the history file, or asked of the analytics worker that has it open."""
    now_s = time.time()
    report = read_or_ask(
        SchedulerSettings(),
        lambda history: gather(history.query, now_s, days, model),
        lambda: gather(ask, now_s, days, model),
    )
    if model is not None and not report.totals.n_runs:
        raise UnknownModel(repr(model), f"the history has no run of it in the last {days:g} days")
    return report
