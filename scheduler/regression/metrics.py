"""What is watched, which way is worse, and how much of it is a medium or a high severity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["none", "low", "medium", "high"]
Direction = Literal["regression", "improvement"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that every sample has; thresholds are relative changes for the worse."""

    name: str
    unit: str
    medium: float
    high: float

    def direction(self, effect: float) -> Direction:
        """Whether a relative change by `effect` is for the worse."""
        return "regression" if (effect > 0) == (self.medium > 0) else "improvement"

    def severity(self, effect: float) -> Severity:
        """Of a change that is significant: none for the better, low below the medium threshold."""
        if self.direction(effect) == "improvement":
            return "none"
        if abs(effect) >= abs(self.high):
            return "high"
        return "medium" if abs(effect) >= abs(self.medium) else "low"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("latency", "ms", 0.20, 0.35),
        Metric("throughput", "items/s", -0.15, -0.25),
        Metric("memory", "MB", 0.25, 0.50),
    )
}
