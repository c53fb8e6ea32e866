"""The metrics that are watched, their direction, and the thresholds of severities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["none", "low", "medium", "high"]
Direction = Literal["regression", "improvement"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A value of every sample; thresholds are relative changes for the worse."""

    name: str
    unit: str
    medium: float
    high: float

    def direction(self, effect: float) -> Direction:
        """The direction of a relative change by `effect`."""
        return "regression" if (effect > 0) == (self.medium > 0) else "improvement"

    def severity(self, effect: float) -> Severity:
        """The severity of a significant change: none for an improvement, low below the medium threshold."""
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
