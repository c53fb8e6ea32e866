"""The options of a request."""

from __future__ import annotations

import itertools

from browser_runtime.contract.families import served_families
from browser_runtime.contract.option import Option
from browser_runtime.contract.options import list_options
from browser_runtime.contract.vocabulary import Family
from webinfer.compatibility.markdown import paragraph, section, table


def describe_options() -> str:
    """The section as Markdown."""
    return section(
        "Options of a request",
        paragraph(
            """Pass them as `infer(..., options={"top_k": 3})`. Other names and values are refused when the
            request is built, and again in the worker."""
        ),
        table(("option", "families", "value", "what it does"), itertools.starmap(_row, list_options())),
    )


def _row(option: Option, families: tuple[Family, ...]) -> tuple[str, str, str, str]:
    whose = "all" if families == served_families() else ", ".join(families)
    return f"`{option.name}`", whose, option.allowed, option.summary
