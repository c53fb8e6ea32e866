"""The table of acceleration."""

from __future__ import annotations

from browser_runtime.contract.acceleration import ACCELERATIONS, Acceleration
from browser_runtime.contract.vocabulary import PAGE_BACKENDS
from webinfer.compatibility.markdown import paragraph, section, table


def describe_acceleration() -> str:
    """The section as Markdown."""
    return section(
        "Acceleration",
        paragraph(
            """What makes a model quicker, where it can, and how it is switched off. A reply names what its
            run had in `details.acceleration`, and tells among its `warnings` why it did without one that was
            asked for. The last column is what each was measured to bring, from the tables in
            [performance](performance.md#acceleration)."""
        ),
        table(
            (
                "row",
                "what it does",
                "models",
                "backends",
                "default",
                "switched off by",
                "measured by",
                "found",
            ),
            map(_row, ACCELERATIONS.values()),
        ),
    )


def _row(row: Acceleration) -> tuple[str, ...]:
    backends = "all" if row.backends == PAGE_BACKENDS else ", ".join(row.backends)
    measured = row.measurement
    return (
        f"`{row.name}`",
        row.summary,
        ", ".join(row.rows) or "all",
        backends,
        str(row.usual),
        f"`{row.switch}`",
        f"`{measured.command}`",
        measured.finding,
    )
