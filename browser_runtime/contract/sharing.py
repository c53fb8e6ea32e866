"""What the models of a lane share: graphs and weights held once, results of encoders kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class _Counts:
    """Whole numbers that add up."""

    @classmethod
    def sum(cls, counts: Iterable[Self]) -> Self:
        """Every number added up."""
        found = list(counts)
        return cls(**{each.name: sum(getattr(one, each.name) for one in found) for each in fields(cls)})

    @classmethod
    def from_page(cls, plain: Mapping[str, Any]) -> Self:
        """The counts of a page's answer; what it does not tell is 0."""
        return cls(**{each.name: int(plain.get(each.name) or 0) for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class SharedGraphs(_Counts):
    """Opened graphs and weights, by content."""

    n_parts: int = 0
    """Distinct ones that are open."""
    n_references: int = 0
    """Uses by models; as many as `n_parts` where nothing is shared."""
    size_bytes: int = 0
    saved_bytes: int = 0
    """What would be held besides if each use had its own."""


@dataclass(frozen=True, slots=True)
class KeptResults(_Counts):
    """Results of encoders, by what they were computed of."""

    n_results: int = 0
    n_references: int = 0
    """Uses at this moment."""
    size_bytes: int = 0
    hits: int = 0
    """Results that were taken instead of computed, since the lane began."""
    misses: int = 0
    dropped: int = 0
    """Those that went to make room for others."""
    hit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LaneSharing:
    """The state of one lane, as its page told it last; of several lanes added up."""

    graphs: SharedGraphs = field(default_factory=SharedGraphs)
    results: KeptResults = field(default_factory=KeptResults)

    @classmethod
    def from_page(cls, plain: Mapping[str, Any]) -> Self:
        """The `sharing` of a page's answer."""
        return cls(
            SharedGraphs.from_page(plain.get("graphs") or {}),
            KeptResults.from_page(plain.get("results") or {}),
        )

    @classmethod
    def sum(cls, lanes: Iterable[LaneSharing]) -> Self:
        """Several lanes together."""
        found = list(lanes)
        return cls(
            SharedGraphs.sum(lane.graphs for lane in found), KeptResults.sum(lane.results for lane in found)
        )
