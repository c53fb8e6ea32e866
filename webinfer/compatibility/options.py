"""The options of a request."""

from __future__ import annotations

from browser_runtime.contract.options import OPTIONS, Option
from browser_runtime.contract.vocabulary import SERVED_FAMILIES
from webinfer.compatibility.markdown import paragraph, section, table


def describe_options() -> str:
    """The section."""
    return section(
        "Options of a request",
        paragraph(
            """`infer(..., options={"top_k": 3})`; another name, or another value, is refused where the
            request is built, and again in the worker."""
        ),
        table(("option", "families", "value", "what it does"), map(_row, OPTIONS.values())),
    )


def _row(option: Option) -> tuple[str, str, str, str]:
    served = [str(family) for family in SERVED_FAMILIES if family in option.families]
    whose = "all" if len(served) == len(SERVED_FAMILIES) else ", ".join(served)
    return f"`{option.name}`", whose, option.allowed, option.summary
