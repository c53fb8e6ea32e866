"""The results of `webinfer bench quality` as tables and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from webinfer.bench.quality.backends import Agreement
from webinfer.bench.quality.results import Accuracy, CacheSize, Quality

TITLES = {
    "weights": "weights through the page, cache of 16 bits",
    "cache": "caches through the page, window of exact tokens counted",
    "peer": "llama.cpp's formats on the same weights, computed in NumPy",
}


def tabulate(quality: Quality) -> list[Table]:
    """Tables of weights, caches and peers by model, of the caches' bytes, and of right answers."""
    tables = []
    for model, exact in quality.perplexities.items():
        for kind, title in TITLES.items():
            rows = [row for row in quality.rows if (row.model, row.kind) == (model, kind)]
            if not rows:
                continue
            table = Table(
                *("setting", "bits", "MB", "KL", "top-1 equal", "perplexity", "computed by"),
                title=f"{model}: {title} (exact weights: perplexity {exact:.3f})",
            )
            for row in rows:
                figures = (f"{row.bits:.2f}", f"{row.size_mb:.1f}", f"{row.kl:.4f}", f"{row.top1:.1%}")
                table.add_row(row.setting, *figures, f"{row.perplexity:.3f}", row.place)
            tables.append(table)
    if quality.cache_sizes:
        tables.append(_tabulate_sizes(quality.cache_sizes))
    if quality.accuracies:
        tables.append(_tabulate_answers(quality.accuracies))
    return tables


def _tabulate_sizes(sizes: Sequence[CacheSize]) -> Table:
    title = "bytes of the cache, and what that saves of fp16 and of fp32"
    table = Table("model", "cache", "tokens", "MB", "of fp16", "of fp32", title=title)
    for size in sizes:
        saved = (f"-{1 - size.size_bytes / size.fp16_bytes:.1%}", f"-{size.saved_of_fp32:.1%}")
        table.add_row(size.model, size.setting, str(size.n_tokens), f"{size.size_bytes / 1e6:.2f}", *saved)
    return table


def _tabulate_answers(accuracies: Sequence[Accuracy]) -> Table:
    kinds = list(accuracies[0].by_kind)
    title = f"right answers through the page to {accuracies[0].n_questions} questions never trained on"
    table = Table("model", "precision", *kinds, "mean", title=title)
    for each in accuracies:
        shares = (f"{each.by_kind[kind]:.1%}" for kind in kinds)
        table.add_row(each.model, each.precision, *shares, f"{each.mean:.1%}")
    return table


def tabulate_agreements(agreements: Sequence[Agreement], model: str) -> Table:
    """A row a backend."""
    table = Table(
        *("browser", "backend", "adapter", "kernels", "tokens", "same"),
        title=f"{model}: greedy tokens beside those of WebAssembly in Chromium",
    )
    for each in agreements:
        figures = (str(each.n_tokens), f"{each.share:.2%}")
        table.add_row(each.browser, each.backend, each.adapter, each.kernel, *figures)
    return table


def to_plain(quality: Quality) -> dict[str, Any]:
    """Everything as JSON has it."""
    return {
        "perplexities": quality.perplexities,
        "rows": [asdict(row) for row in quality.rows],
        "cache_sizes": [asdict(size) | {"saved_of_fp32": size.saved_of_fp32} for size in quality.cache_sizes],
        "accuracies": [asdict(each) | {"mean": each.mean} for each in quality.accuracies],
    }
