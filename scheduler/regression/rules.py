"""The conditions for calling a difference a change. The figures in docs/regression.md hold for these."""

from __future__ import annotations

from dataclasses import dataclass, replace

SLOW_SAMPLE_S = 3600
"""The spacing of samples that `Rules.max_p` is meant for: 720 tests a month."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one scan."""

    window: int = 120
    """The most samples compared. Fewer find less; many more include slow drifts in the baseline."""
    min_before: int = 15
    """Fewer samples before a change do not show their own noise."""
    min_after: int = 5
    """Fewer samples after a change may be a burst."""
    max_p: float = 4e-7
    """The significance level of the t-test. It is so small because the split is the best of the window, and
    there are 720 tests a month: together they raise a false alarm in well under 1 % of quiet months."""
    min_effect: float = 0.03
    """Smaller relative changes are ignored, however certain."""

    def at(self, sample_s: float) -> Rules:
        """The rules for another spacing of samples, with as many false alarms per month."""
        return replace(self, max_p=self.max_p * min(1.0, sample_s / SLOW_SAMPLE_S))
