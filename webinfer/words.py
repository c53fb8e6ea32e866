"""Values as text for people."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from browser_runtime.contract.messages import Adapter

# What a terminal obeys; lines and tabs stay.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print what holds others' words: on a terminal, and among errors, none of them steers it."""
    shown = CONTROLS.sub("\ufffd", text) if err or sys.stdout.isatty() else text
    click.echo(shown, err=err, nl=nl)


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
