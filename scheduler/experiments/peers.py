"""The same work in other ways, side by side. Pure."""

from __future__ import annotations

from scheduler.experiments.tables import Column, Document, ResultTable, show_ratio, texts


def tabulate_peers(document: Document) -> ResultTable:
    """A row a workload, way and number of requests at once."""
    rows = []
    for one in document["peers"]:
        rates = (str(one["at_once"]), f"{one['per_s']:.1f}", *show_ratio(one["to_by_hand"]))
        times = (f"{one['p50_ms']:.1f}", f"{one['p95_ms']:.1f}", f"{one['memory_mb']:.0f}")
        rows.append(texts(one["workload"], one["peer"], *rates, *times, str(one["lines_of_code"])))
    names = ("at once", "requests/s", "to Selenium by hand", "95 %", "p50 ms", "p95 ms", "memory MB", "lines")
    columns = [Column("workload", is_number=False), Column("way", is_number=False), *map(Column, names)]
    absent = [f"{name} is absent: {reason}" for name, reason in document["absent"].items()]
    claims = "; ".join(
        f"{one['scenario']} {one['claimed']}, here {one['found']}" for one in document["guide"]
    )
    return ResultTable(columns, rows, absent, f"The guide's claims: {claims}.")
