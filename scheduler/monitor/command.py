"""`celery -A webinfer webinfer-flower`: Flower's command with the added pages.

Every `celery` command imports this file, so what is heavy is imported when it runs.
"""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand

from scheduler.monitor.access import LOOPBACK


@click.command(cls=CeleryCommand, name="webinfer-flower", context_settings={"ignore_unknown_options": True})
@click.argument("tornado_argv", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def monitor(ctx: click.Context, tornado_argv: tuple[str, ...]) -> None:
    """Flower with pages for browsers, queues and performance.

    Takes Flower's own options; listens on 127.0.0.1 unless --address says otherwise, and beyond this machine
    only with credentials (FLOWER_BASIC_AUTH=user:password).
    """
    from browser_runtime.contract.setup.extras import MissingExtra, require

    try:
        require("monitor")
    except MissingExtra as error:
        raise click.ClickException(str(error)) from error
    import flower.command

    from scheduler.monitor.monitor import Monitor

    ctx.obj.app.serve()  # it must be able to subscribe to events while Redis is full
    flower.command.options.address = LOOPBACK
    flower.command.Flower = Monitor
    ctx.invoke(flower.command.flower, tornado_argv=tornado_argv)
