"""A request as the arguments of a message: `{"request": its plain fields, "route": where to, and why}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import shown
from tasks.payloads.codec import CodecError, loads

# What the message of a checked request holds; a user never passes these.
NAMES = ("request", "route", "stream")


class PortableArray(np.ndarray[Any, Any]):
    """An array that any Celery app can send: its JSON form is a message of the tensor codec, as bytes.

    Another app sends our signatures in a serializer of its own, mostly JSON, which knows no arrays.
    """

    def __json__(self) -> bytes:
        """Called by kombu's JSON; a large array waits in Redis, and the bytes name it."""
        from tasks.app import app

        return app.claims.dumps(np.asarray(self))


def to_message(request: Request) -> dict[str, Any]:
    """The message's arguments for `request`."""
    wire = request.to_wire()
    inputs = {batch: [_portable(item) for item in items] for batch, items in request.inputs.items()}
    return {"request": wire | {"inputs": inputs}}


def _portable(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _portable(part) for name, part in item.items()}
    return item.view(PortableArray) if isinstance(item, np.ndarray) else item


def is_message(kwargs: Mapping[str, Any]) -> bool:
    """True if these arguments are those of a checked request."""
    return "request" in kwargs


def check_message(kwargs: dict[str, Any], args: Any) -> dict[str, Any]:
    """A checked request as it stands; what is added to a complete signature would be lost silently."""
    extra = [name for name in kwargs if name not in NAMES]
    if extra or args:
        added = ", ".join(extra) or f"{len(args)} positional arguments"
        raise BadInput(
            "infer", f"given {added} on top of a complete signature", "a new signature; or use .si()"
        )
    if not isinstance(kwargs["request"], dict):
        raise BadInput("request", shown(kwargs["request"]), "a dict of a request's fields")
    return dict(kwargs)


def read_request(wire: Mapping[str, Any], inputs: Any) -> Request:
    """The request whose fields are `wire`, with `inputs` in the place of its own. Raises BadInput."""
    return Request.from_wire({**wire, "inputs": inputs})


def unpack_inputs(inputs: Any) -> Any:
    """`inputs` with the arrays that another serializer carried as bytes. Raises BadInput."""
    if not isinstance(inputs, dict):
        return inputs
    return {batch: _unpack(items) for batch, items in inputs.items()}


def _unpack(items: Any) -> Any:
    if not isinstance(items, list):
        return items
    try:
        return [_unpack_item(item) for item in items]
    except CodecError as error:
        raise BadInput("inputs", f"bytes that hold no array ({error})", "built by tasks.infer") from error


def _unpack_item(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _unpack_item(part) for name, part in item.items()}
    return loads(item) if isinstance(item, bytes) else item
