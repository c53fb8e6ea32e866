"""`celery -A APP worker` and `beat`, without the commands that other packages add to Celery's own.

Celery's command imports all of those, Flower with its web server among them, before it starts a worker:
some 20 MB in each process of the stack.
"""

from __future__ import annotations

import click
from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.beat import beat
from celery.bin.worker import worker


@click.group()
@click.option("-A", "--app", "name", required=True, help="The application.")
@click.pass_context
def main(ctx: click.Context, name: str) -> None:
    """Run a worker or beat."""
    app = find_app(name)
    ctx.obj = CLIContext(app=app, no_color=False, workdir=None, quiet=False)
    for command in (worker, beat):
        command.params.extend(app.user_options.get(str(command.name), []))


main.add_command(worker)
main.add_command(beat)

if __name__ == "__main__":
    main(auto_envvar_prefix="CELERY")
