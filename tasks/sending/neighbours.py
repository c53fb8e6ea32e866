"""Tasks of other Celery apps that follow a request of ours: callbacks, a chain's next step, a chord's body.

Our workers send them, and know nothing of their app: which queue it uses and what its workers can read is
set in the signature where both apps are at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature
from kombu import Exchange, Queue

from tasks.payloads.plain import to_plain
from tasks.routing.addressing import find_named_queue
from tasks.sending.continuation import finished_request
from tasks.sending.headers import JSON, TENSOR, reads_tensors

if TYPE_CHECKING:
    from tasks.app import WebinferApp

# Where the options of a message hold signatures.
FOLLOWERS = ("link", "link_error", "chain", "chord")


def introduce_followers(app: WebinferApp, options: dict[str, Any]) -> None:
    """Tell the signatures of other apps in `options` the queue and serializer of their own app."""
    for name in FOLLOWERS:
        found = options.get(name)
        for signature in found if isinstance(found, (list, tuple)) else [found]:
            _introduce(app, signature)


def _introduce(app: WebinferApp, signature: Any) -> None:
    if not isinstance(signature, Signature):
        return
    inner: Iterable[Any] = signature.kwargs.get("tasks", ()) if "tasks" in signature.kwargs else ()
    for each in (*inner, signature.kwargs.get("body")):
        _introduce(app, each)
    its_app = _app_of(signature)
    if its_app is None or its_app is app:
        return
    signature.options.setdefault("serializer", its_app.conf.task_serializer)
    if find_named_queue(signature.options) is None:
        queue = its_app.amqp.router.route({}, signature.task).get("queue")
        signature.options["queue"] = getattr(queue, "name", None) or its_app.conf.task_default_queue


def _app_of(signature: Any) -> Any:
    """The app whose task it is; None where that is not known. A canvas gives its own app to all its parts."""
    return getattr(signature._type, "app", None) or signature._app


def prepare_foreign(app: WebinferApp, args: Any, kwargs: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Arguments for a task of another app, set to follow one of ours; `options` are changed to suit it."""
    finished = finished_request()
    if finished is None:
        return args, kwargs
    if options.get("serializer") is None:
        options["serializer"] = TENSOR if reads_tensors(finished) else JSON
    queue = options.get("queue")
    if isinstance(queue, str) and queue not in app.amqp.queues:  # one of theirs
        options["queue"] = Queue(queue, Exchange(queue), queue)
    return (args, kwargs) if options["serializer"] == TENSOR else (to_plain(args), to_plain(kwargs))
