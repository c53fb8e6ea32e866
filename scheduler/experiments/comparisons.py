"""Two arms side by side. Pure."""

from __future__ import annotations

from scheduler.experiments.tables import Column, Document, ResultTable, show_ratio, texts

# Parts that take less than this (ms, or MB) in both arms are not shown.
LEAST_SHOWN = 0.05
PARTS = {
    "start_ms": "browser start",
    "load_ms": "load",
    "compile_ms": "compile",
    "warmup_ms": "warm-up",
    "first_ms": "first answer",
    "steady": "steady state",
    "preprocess_ms": "  preprocess",
    "compute_ms": "  compute",
    "readback_ms": "  readback",
    "postprocess_ms": "  postprocess",
    "bridge_ms": "  way to the page and back",
    "memory": "memory",
}


def tabulate_comparison(document: Document) -> ResultTable:
    """A row a part: medians of both arms, and the ratio with its interval."""
    rows = []
    for name, label in PARTS.items():
        part = document["ratios"].get(name)
        if part is None or max(part["a"], part["b"]) < LEAST_SHOWN:
            continue
        unit = "MB" if name == "memory" else "ms"
        rows.append(texts(label, f"{part['a']:.2f} {unit}", f"{part['b']:.2f} {unit}", *show_ratio(part)))
    columns = [Column("part", is_number=False), *map(Column, ("a", "b", "b to a", "95 %"))]
    arms = "; ".join(f"{name}: {document[name]['text']}" for name in ("a", "b") if document[name].get("text"))
    return ResultTable(columns, rows, legend=arms)
