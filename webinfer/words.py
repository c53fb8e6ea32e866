"""Values as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from browser_runtime.contract.messages import Adapter


def adapter_kind(adapter: Adapter) -> str:
    """hardware, software, or unknown if the browser hides it."""
    return {True: "software", False: "hardware", None: "unknown"}[adapter.software]


def answer_text(output: Any) -> str:
    """An output in one short line."""
    if isinstance(output, Mapping) and "error" in output:
        return str(output["error"]["message"])
    if "text" in output:
        return repr(output["text"])
    if "labels" in output:
        best = output["labels"][0]
        return f"{best['label']} ({best['score']:.1%})"
    embedding = output["embedding"]
    head = ", ".join(f"{value:+.3f}" for value in embedding[:3])
    return f"[{head}, ...] {len(embedding)} dimensions"
