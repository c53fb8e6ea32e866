"""A project beside webinfer: a Celery app of its own on the same Redis, with JSON and its own queue."""

import os
from typing import Any

from celery import Celery, chain, shared_task

from tasks import infer

QUEUE = "neighbours"

# In its worker it is the current app; in a program that merely imports it, whichever was before.
app = Celery("neighbour", broker=os.environ.get("WEBINFER_BROKER_URL"), set_as_current=False)
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


@app.task(name="neighbour.outline")
def outline(reply: Any) -> dict[str, Any]:
    """What of a reply, or of a list of replies, a plain program can work with."""
    replies = reply if isinstance(reply, list) else [reply]
    return {"types": sorted({type(each["output"]).__name__ for each in replies}), "n": len(replies)}


@app.task(name="neighbour.say")
def say(what: Any) -> Any:
    """What a task before another one gives it."""
    return what


@app.task(name="neighbour.replaced", bind=True)
def replaced(self: Any, text: str) -> Any:
    """The reply to a request, in the place of this task."""
    return self.replace(infer.s(model_type="text", model_name="bert", inputs=text))


@app.task(name="neighbour.chained", bind=True)
def chained(self: Any, text: str) -> Any:
    """As `replaced`, by a chain that begins and ends in this app: its end must name a queue of this app."""
    end = outline.s().set(queue=QUEUE)
    return self.replace(chain(say.s(text), infer.s(model_type="text", model_name="bert"), end))
