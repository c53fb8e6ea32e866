"""The page: its head and its sections in order. A new section is one function in SECTIONS."""

from __future__ import annotations

from collections.abc import Callable

from webinfer.compatibility.acceleration import describe_acceleration
from webinfer.compatibility.audio import describe_audio
from webinfer.compatibility.graphs import describe_graphs
from webinfer.compatibility.inputs import describe_inputs
from webinfer.compatibility.options import describe_options
from webinfer.compatibility.texts import describe_texts
from webinfer.compatibility.vision import describe_vision

HEAD = """# What is supported, and what is refused

Every feature that a model's files, a request or an input may ask for either works as in the library that it
comes from, or is refused by name, with the key or field, its value and what is allowed. This is checked when
a model is imported or pulled, when a request is built, and again in the worker. Nothing is ignored silently.

This page is generated from the lists that the code uses, with `python -m webinfer.compatibility >
docs/compatibility.md`; a test compares it with them. **A key of these files, a class or a format that is not
listed is refused.** A key that is null counts as left out. Of config.json, only the keys named here are read.

Expected values in tests come from transformers, sentence-transformers, tokenizers, Pillow and onnxruntime.
They are stored under `tests/`, with the scripts that made them."""
SECTIONS: tuple[Callable[[], str], ...] = (
    describe_graphs,
    describe_texts,
    describe_vision,
    describe_audio,
    describe_inputs,
    describe_options,
    describe_acceleration,
)


def render() -> str:
    """The page as Markdown."""
    return "\n\n".join((HEAD, *(describe() for describe in SECTIONS))) + "\n"
