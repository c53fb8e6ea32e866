"""Send requests as any producer would, with a missing broker told in one sentence."""

from __future__ import annotations

import os
from typing import Any

from celery.exceptions import TimeoutError as ResultTimeout
from kombu.exceptions import OperationalError

from browser_runtime.contract.environment import redact
from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.remedies import STACK
from tasks import app, infer
from tasks.app import configuration


def use_broker(url: str) -> None:
    """Point this process's producer, imported already and not used yet, at another Redis."""
    os.environ["WEBINFER_BROKER_URL"] = url
    app.__dict__.pop("settings", None)
    app.conf.update(configuration(app.settings))


def send(**request: Any) -> Any:
    """The pending result of one `infer`. Raises BadRequest for bad input, SetupError without a broker."""
    try:
        return infer.apply_async(kwargs=request)
    except OperationalError as error:
        raise no_broker(error) from error


def collect(result: Any, timeout_s: float) -> dict[str, Any]:
    """The reply. Raises the error the worker raised, SetupError when no worker answers in time."""
    try:
        reply: dict[str, Any] = result.get(timeout=timeout_s)
    except ResultTimeout as error:
        queues = f"no worker answered within {timeout_s:.0f} s"
        raise SetupError("an answer", f"{queues}; is one up for this queue? start `{STACK}`") from error
    return reply


def no_broker(error: Exception) -> SetupError:
    """The sentence for a Redis that does not answer; the address without its password."""
    address = redact(app.settings.broker_url)
    return SetupError(
        "a Redis that answers", f"{address} does not; start `{STACK}` or set WEBINFER_BROKER_URL"
    )
