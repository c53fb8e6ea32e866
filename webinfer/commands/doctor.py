"""`webinfer doctor`: tests the backends of each browser and names what has to be installed."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from browser_runtime.contract.capabilities import BackendCapability
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.settings import RuntimeSettings
from tasks.settings import TaskSettings
from webinfer.commands.parameters import BROWSERS
from webinfer.examination import BrowserExam, Tool, examine_browsers, examine_tools
from webinfer.redis_examination import RedisExam, examine_redis
from webinfer.tables import SafeConsole, output_console
from webinfer.words import adapter_kind


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every feature and limit.")
@click.option(
    "--browser",
    "browsers",
    multiple=True,
    type=BROWSERS,
    help="Check only this browser; repeatable. Default: all.",
)
def command(as_json: bool, browsers: tuple[str, ...]) -> None:
    """Start each browser and test WebGPU, WebNN and WebAssembly in it.

    A backend counts as working only if it runs a small graph and computes the right numbers. Prints the
    command that installs what is missing, and what is wrong with the queue's Redis: its memory, its saving,
    clocks that differ. Exit code 0 if at least one browser can run models, else 1.
    """
    chosen = [Browser(name) for name in browsers] or list(Browser)
    progress = SafeConsole(stderr=True)
    with progress.status("looking") as status:
        tools, queue = examine_tools(), examine_redis(TaskSettings())
        exams = asyncio.run(examine_browsers(RuntimeSettings(), chosen, status.update))
    if as_json:
        click.echo(json.dumps(_plain(exams, tools, queue), indent=2))
    else:
        _show(output_console(), exams, tools)
        for problem in queue.problems:
            output_console().print(f"[red]Redis[/]: {escape(problem)}", highlight=False, soft_wrap=True)
    if not any(capability.proved for exam in exams for capability in exam.backends.values()):
        sys.exit(1)


def _plain(exams: list[BrowserExam], tools: list[Tool], queue: RedisExam) -> dict[str, object]:
    browsers = {}
    for exam in exams:
        plain = asdict(exam)
        for backend, capability in exam.backends.items():
            plain["backends"][backend]["adapter"]["kind"] = adapter_kind(capability.adapter)
        browsers[str(exam.browser)] = plain
    found = {tool.name: asdict(tool) for tool in tools}
    return {"browsers": browsers, "tools": found, "redis": asdict(queue)}


def _show(console: Console, exams: list[BrowserExam], tools: list[Tool]) -> None:
    table = Table("browser", "backend", "proved", "adapter", "took", title="What each browser proved")
    for exam in exams:
        table.add_section()
        for number, backend in enumerate((Backend.WEBGPU, Backend.WEBNN, Backend.WASM)):
            table.add_row(_head(exam)[number], str(backend), *_cells(exam.backends.get(backend)))
    console.print(table)
    for exam in exams:
        if exam.problem:
            console.print(f"[red]{exam.browser}[/]: {escape(exam.problem)}", highlight=False, soft_wrap=True)
    for exam in exams:
        _show_hold(console, exam)
    for tool in tools:
        if tool.remedy:
            line = f"[red]{tool.name}[/]: missing on this machine; install it with: {escape(tool.remedy)}"
            console.print(line, highlight=False, soft_wrap=True)


def _show_hold(console: Console, exam: BrowserExam) -> None:
    """Print what confines a browser, and what does not (docs/security.md)."""
    if not exam.held_by:
        return
    console.print(f"[bold]{exam.browser}[/] runs as {escape(exam.held_by)}", highlight=False, soft_wrap=True)
    for weakness in exam.weaknesses:
        console.print(f"  [yellow]weak[/]: {escape(weakness)}", highlight=False, soft_wrap=True)


def _head(exam: BrowserExam) -> tuple[str, str, str]:
    """The first cells of a browser's three rows: name, build, driver and start time."""
    if not exam.backends:
        return f"[bold]{exam.browser}", exam.build or "[red]missing", ""
    started = f"driver {exam.driver_version}, up in {exam.start_ms / 1000:.1f} s"
    return f"[bold]{exam.browser}", exam.build, started


def _cells(capability: BackendCapability | None) -> tuple[str, str, str]:
    if capability is None:
        return "-", "", ""
    took = f"{capability.ms:.0f} ms"
    if not capability.proved:
        return "[yellow]no", escape(capability.reason), took
    adapter = capability.adapter
    return "[green]yes", escape(f"{adapter.name} ({adapter_kind(adapter)})".strip()), took
