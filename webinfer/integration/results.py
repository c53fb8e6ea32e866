"""Failures as results, with the keys of a reply."""

from __future__ import annotations

from typing import Any

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Adapter, Reply

Result = dict[str, Any]
"""The keys of a reply; `success` False and `error` for a failure."""


def failure(model_name: str, model_type: str, precision: str, error: InferenceError) -> Result:
    """A reply without an output, with `success` False and `error`: code, args and message."""
    nothing = Reply(
        success=False,
        model_name=model_name,
        model_type=model_type,
        output=None,
        browser="",
        browser_build="",
        platform="",
        backend="",
        adapter=Adapter(),
        precision=precision,
    )
    return nothing.to_dict() | {"error": error.to_plain()}
