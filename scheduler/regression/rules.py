"""The conditions for calling a difference a change. The figures in docs/regression.md hold for these."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# What may be left of a burst, and how many samples it is waited for: a change is found within 20.
FADED, LONGEST_FADING = 0.2, 15
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

    def least_after(self, r: float) -> float:
        """The samples that a change needs after it where neighbours resemble each other by `r`.

        A burst then fades sample by sample; until little of it is left it looks like a new level.
        """
        fading = math.log(FADED) / math.log(r) if r > 0 else 0.0
        return self.min_after + min(fading, LONGEST_FADING)

    def at(self, sample_s: float) -> Rules:
        """The rules for another spacing of samples, with as many false alarms per month."""
        return replace(self, max_p=self.max_p * min(1.0, sample_s / SLOW_SAMPLE_S))
