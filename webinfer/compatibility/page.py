"""The whole page: its head, and the sections in order. A new section is one function in SECTIONS."""

from __future__ import annotations

from collections.abc import Callable

from webinfer.compatibility.audio import describe_audio
from webinfer.compatibility.graphs import describe_graphs
from webinfer.compatibility.inputs import describe_inputs
from webinfer.compatibility.options import describe_options
from webinfer.compatibility.texts import describe_texts
from webinfer.compatibility.vision import describe_vision

HEAD = """# What is done, and what is refused

Everything that a model's own files, a request and an input may ask for is either done as the library that
it comes from does it, or refused by name, with the key or the field, its value and what is allowed: when a
model is imported or pulled, when a request is built, and again in the worker. Nothing is left out in silence.

This page is written from the lists that the code decides by, with `python -m webinfer.compatibility >
docs/compatibility.md`; a test holds it to them. **A key of these files, a class or a format that is not on
it is refused.** Of config.json, which describes the graph that is there anyway, the keys named here are read.

Right values come from outside: transformers, sentence-transformers, tokenizers, Pillow and onnxruntime. They
are stored with the scripts that made them under `tests/`."""
SECTIONS: tuple[Callable[[], str], ...] = (
    describe_graphs,
    describe_texts,
    describe_vision,
    describe_audio,
    describe_inputs,
    describe_options,
)


def render() -> str:
    """The page as Markdown."""
    return "\n\n".join((HEAD, *(describe() for describe in SECTIONS))) + "\n"
