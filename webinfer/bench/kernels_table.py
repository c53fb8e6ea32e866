"""What `webinfer bench kernels` found, as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from webinfer.bench.kernels import KernelPlace


def show_places(console: Console, places: list[KernelPlace]) -> None:
    """A table for each browser and backend."""
    for place in places:
        title = (
            f"{place.build}, {place.backend} on {place.adapter}, a plain copy {place.copy_gb_per_s:.1f} GB/s"
        )
        table = Table("case", "kernels", "least ms", "p50", "p95", "GB/s", "of copy", "error", title=title)
        for row in place.rows:
            if row.run is None:
                table.add_row(row.case, row.kernels, "-", "-", "-", "-", "-", row.note)
                continue
            times = (f"{ms:.4g}" for ms in (row.run.min_ms, row.run.p50_ms, row.run.p95_ms))
            figures = (f"{row.gb_per_s:.2f}", f"{row.share_of_copy:.0%}", f"{row.error:.2g}")
            table.add_row(row.case, row.kernels, *times, *figures)
        console.print(table)
        if place.readback:
            read = place.readback
            spread = f"least {read.min_ms:.1f} ms, p50 {read.p50_ms:.1f}, p95 {read.p95_ms:.1f}"
            console.print(f"reading back: {spread}; serves up to {place.tokens_per_readback} tokens")
