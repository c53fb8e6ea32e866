"""Results of `webinfer bench quality`, and what was asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.low_bits.cache import EXACT_BITS, CacheFormat
from browser_runtime.low_bits.shape import DecoderShape

CACHE_TOKENS = (256, 1024, 4096)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of a model, compared with its exact weights."""

    model: str
    kind: str
    """"weights", "cache" or "peer"."""
    setting: str
    bits: float
    """A weight of the layers, or a cached number at the text's length; scales and all are counted."""
    size_mb: float
    """The model's weights, or its cache at 1,024 tokens, in MB of 1,000,000 bytes."""
    kl: float
    top1: float
    perplexity: float
    exact_perplexity: float
    """Of the exact weights, on the same text."""
    n_tokens: int
    place: str
    """What computed it."""

    def summarise(self) -> str:
        """One line of it."""
        size = f"{self.bits:.2f} bits, {self.size_mb:.1f} MB"
        figures = f"KL {self.kl:.4f}, top-1 equal {self.top1:.1%}, perplexity {self.perplexity:.3f}"
        return f"{self.model}, {self.kind}, {self.setting}: {size}, {figures}"


@dataclass(frozen=True, slots=True)
class CacheSize:
    """True bytes of a text's cache, window and scales counted, beside those of fp16 and fp32."""

    model: str
    setting: str
    n_tokens: int
    size_bytes: int
    fp16_bytes: int

    @property
    def saved_of_fp32(self) -> float:
        """The part of an fp32 cache that is saved."""
        return 1 - self.size_bytes / (2 * self.fp16_bytes)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Right answers of the built-in model to questions that it was not trained on, by kind."""

    model: str
    precision: str
    by_kind: dict[str, float]
    n_questions: int

    @property
    def mean(self) -> float:
        """The mean over the kinds."""
        return sum(self.by_kind.values()) / len(self.by_kind)

    def summarise(self) -> str:
        """One line of it."""
        return f"{self.model}, {self.precision}: {self.mean:.1%} of {self.n_questions} answers right"


@dataclass(slots=True)
class Quality:
    """The results of a run."""

    rows: list[Row] = field(default_factory=list)
    cache_sizes: list[CacheSize] = field(default_factory=list)
    accuracies: list[Accuracy] = field(default_factory=list)

    @property
    def perplexities(self) -> dict[str, float]:
        """Of the exact weights, by model."""
        return {row.model: row.exact_perplexity for row in self.rows}


@dataclass(frozen=True, slots=True)
class Plan:
    """The wishes of a run."""

    models: tuple[str, ...]
    browser: Browser
    backend: Backend
    n_tokens: int
    n_questions: int
    bits: tuple[int, ...]
    caches: tuple[str, ...]
    with_peers: bool


def cache_sizes(model: str, shape: DecoderShape, settings: Sequence[str]) -> list[CacheSize]:
    """The sizes of each cache at a few lengths."""
    exact = CacheFormat(EXACT_BITS, EXACT_BITS)
    formats = [CacheFormat.parse(setting) for setting in settings]
    return [
        CacheSize(model, str(each), n, each.size_bytes(shape, n), exact.size_bytes(shape, n))
        for each in formats
        for n in CACHE_TOKENS
    ]
