"""Values of the comparison: what is measured, one run of it, its summary, and ratios between summaries."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

OURS, WLLAMA, TRANSFORMERS, NATIVE = "webinfer", "wllama", "transformers.js", "llama.cpp"


@dataclass(frozen=True, slots=True)
class Arm:
    """One engine with one kind of weights and a number of threads."""

    engine: str
    weights: str
    threads: int


@dataclass(frozen=True, slots=True)
class Run:
    """One prompt read and answered."""

    prefill_ms: float
    """From the request to the first token."""
    decode_ms: float
    """A token, from the first to the last."""
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of `n` runs, in milliseconds."""

    p50_ms: float
    least_ms: float
    most_ms: float
    n: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one arm."""

    arm: Arm
    prefill: Spread | None = None
    """Of the whole prompt."""
    prefill_tokens_per_s: float | None = None
    decode: Spread | None = None
    """Of a token."""
    decode_tokens_per_s: float | None = None
    answer: str = ""
    """To the question that checks the arm."""
    is_right: bool | None = None
    busy_decode: float | None = None
    """Times that decoding took with a busy process beside, to those without."""
    busy_prefill: float | None = None
    absent: str = ""
    """The reason why there is nothing; empty if there is."""


def spread(samples_ms: Sequence[float]) -> Spread:
    """Summary of at least one sample."""
    return Spread(statistics.median(samples_ms), min(samples_ms), max(samples_ms), len(samples_ms))


def summarise(
    arm: Arm, runs: Sequence[Run], busy: Sequence[Run], answer: str, is_right: bool | None
) -> Figures:
    """The figures of an arm that ran; `busy` may be empty."""
    prefill, decode = spread([run.prefill_ms for run in runs]), spread([run.decode_ms for run in runs])
    busy_prefill = busy_decode = None
    if busy:
        busy_prefill = spread([run.prefill_ms for run in busy]).p50_ms / prefill.p50_ms
        busy_decode = spread([run.decode_ms for run in busy]).p50_ms / decode.p50_ms
    return Figures(
        arm,
        prefill,
        1000 * runs[0].prompt_tokens / prefill.p50_ms,
        decode,
        1000 / decode.p50_ms,
        answer,
        is_right,
        busy_decode,
        busy_prefill,
    )


@dataclass(frozen=True, slots=True)
class Group:
    """All arms of one interleaved run: one browser, and what ran natively beside it."""

    browser: str
    """The build."""
    figures: list[Figures]

    def compare(self, one: Figures, engine: str) -> dict[str, float] | None:
        """Times as quick as a peer on as many threads; None where either did not run."""
        rivals = (rival for rival in self.figures if rival.arm.engine == engine)
        for rival in rivals:
            if rival is one or rival.arm.threads != one.arm.threads or not (rival.decode and rival.prefill):
                continue
            if one.decode and one.prefill:
                return {
                    "decode": rival.decode.p50_ms / one.decode.p50_ms,
                    "prefill": rival.prefill.p50_ms / one.prefill.p50_ms,
                }
        return None

    def to_plain(self) -> dict[str, Any]:
        """The figures with their ratios to the peers, as JSON takes them."""
        arms = []
        for one in self.figures:
            plain = asdict(one)
            ratios = {engine: self.compare(one, engine) for engine in (WLLAMA, TRANSFORMERS, NATIVE)}
            arms.append(plain.pop("arm") | plain | {"times_as_quick_as": ratios})
        return {"browser": self.browser, "arms": arms}
