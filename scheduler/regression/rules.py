"""What it takes to call a difference a change. Every figure of docs/regression.md is of these values."""

from __future__ import annotations

from dataclasses import dataclass, replace

SLOW_SAMPLE_S = 3600
"""The spacing of samples that `Rules.max_p` is meant for: 720 looks in a month."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one scan."""

    window: int = 120
    """Samples that are compared at most. Fewer see less; many more take a slow drift into the baseline."""
    min_before: int = 15
    """A baseline of fewer samples says too little about its own noise."""
    min_after: int = 5
    """A burst of fewer samples is no lasting change."""
    max_p: float = 1e-6
    """Of the t-test at one split. So small since the split was picked as the best of the window, at every one
    of 720 looks a month: together they raise a false alarm in well under 1 % of quiet months."""
    min_effect: float = 0.03
    """Smaller changes are of no use to anybody, however certain."""

    def at(self, sample_s: float) -> Rules:
        """The same false alarms in a month where samples come more often than hourly."""
        return replace(self, max_p=self.max_p * min(1.0, sample_s / SLOW_SAMPLE_S))
