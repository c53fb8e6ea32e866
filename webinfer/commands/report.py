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

HTML_FILE = "webinfer-report.html"
WRITERS: dict[str, Callable[[Report], str]] = {
    "html": write_html,
    "markdown": write_markdown,
    "json": write_json,
}


@click.command("report")
@click.option("--html", "form", flag_value="html", help=f"One page with charts; default file: {HTML_FILE}.")
@click.option("--markdown", "form", flag_value="markdown", default=True, help="Tables; the default.")
@click.option("--json", "form", flag_value="json", help="Every fact.")
@click.option(
    "--days", default=30.0, show_default=True, type=click.FloatRange(0, min_open=True), help="How far back."
)
@click.option("--model", help="Only this model.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, or - for the screen."
)
def command(form: str, days: float, model: str | None, output: Path | None) -> None:
    """What was measured: trends, browsers, optimisations, routing, connections, alerts, scaling."""
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


def gather_report(days: float, model: str | None) -> Report:
    """The facts from the file itself where nobody holds it, else from the analytics worker."""
    now_s = time.time()
    return read_or_ask(
        SchedulerSettings(),
        lambda history: gather(history.query, now_s, days, model),
        lambda: gather(ask, now_s, days, model),
    )
