"""A project beside webinfer: a Celery app of its own on the same Redis, with JSON and its own queue."""

import os
from typing import Any

from celery import Celery, shared_task

from tasks import infer

QUEUE = "neighbours"

app = Celery("neighbour", broker=os.environ.get("WEBINFER_BROKER_URL"))
app.conf.update(
    result_backend=os.environ.get("WEBINFER_BROKER_URL"),
    task_default_queue=QUEUE,
    broker_connection_retry_on_startup=True,
)


@app.task(name="neighbour.ask")
def ask(**request: Any) -> str:
    """The id of a request that this task sends itself."""
    return str(infer.delay(**request).id)


@shared_task(name="neighbour.shared")
def shared() -> str:
    """A task of whichever app is current."""
    return "ours"
