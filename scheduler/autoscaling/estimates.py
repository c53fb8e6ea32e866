"""A queue's arrivals, service time and throughput, from counts of each observation. Pure, bounded state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from browser_runtime.scaling.forecast import BURST_DEVIATIONS, ArrivalRate

# A count this old has half the weight. Service times change with models and batches, within minutes;
# throughput is compared with that before the last growth, a cool-down (15 s) ago.
SERVICE_HALF_LIFE_S = 120.0
THROUGHPUT_HALF_LIFE_S = 10.0
# Fewer answers than this give no service time.
FEWEST_ANSWERS = 2.0
# Arrivals are spread in parts this long, to fill the five-second bins evenly.
PART_S = 0.5


@dataclass(frozen=True, slots=True)
class Decaying:
    """A ratio of two exponentially decaying sums."""

    half_life_s: float
    above: float = 0.0
    below: float = 0.0

    def after(self, above: float, below: float, passed_s: float) -> Decaying:
        """The ratio after one more count."""
        left = math.exp2(-passed_s / self.half_life_s)
        return Decaying(self.half_life_s, self.above * left + above, self.below * left + below)


@dataclass
class QueueEstimates:
    """One queue's estimates, updated at every observation."""

    arrivals: ArrivalRate = field(default_factory=ArrivalRate)
    service: Decaying = field(default_factory=lambda: Decaying(SERVICE_HALF_LIFE_S))
    throughput: Decaying = field(default_factory=lambda: Decaying(THROUGHPUT_HALF_LIFE_S))
    _at_s: float = -math.inf
    _passed_s: float = 0.0
    _n_arrived: int = 0

    def note(self, now: float, n_arrived: int, n_answered: int, mean_busy: float) -> None:
        """Add an observation: requests arrived and answered since the last one, and mean busy lanes."""
        if self._at_s > -math.inf and now > self._at_s:
            self._passed_s, self._n_arrived = now - self._at_s, n_arrived
            self._spread(n_arrived, now)
            self.service = self.service.after(mean_busy * self._passed_s, n_answered, self._passed_s)
            self.throughput = self.throughput.after(n_answered, self._passed_s, self._passed_s)
        self._at_s = now

    def _spread(self, n: int, now: float) -> None:
        """Spread `n` arrivals evenly over the time since the last observation: a late one is no burst."""
        n_parts = max(round(self._passed_s / PART_S), 1)
        for part in range(n_parts):
            at_s = now - self._passed_s * (1 - (part + 0.5) / n_parts)
            share = n * (part + 1) // n_parts - n * part // n_parts
            self.arrivals = self.arrivals.after(at_s, share)

    def arrivals_per_s(self, horizon_s: float = 0.0) -> float:
        """Expected arrivals per second, `horizon_s` after the last observation."""
        if self._at_s == -math.inf:
            return 0.0
        forecast = self.arrivals.per_s(self._at_s, horizon_s)
        expected = forecast * self._passed_s
        # A burst counts at the first observation, not only when its bin is over.
        is_burst = self._n_arrived > expected + BURST_DEVIATIONS * math.sqrt(expected)
        return self._n_arrived / self._passed_s if is_burst else forecast

    @property
    def service_s(self) -> float | None:
        """Seconds of a lane's time per request; None if too few were answered."""
        if self.service.below < FEWEST_ANSWERS or self.service.above <= 0:
            return None
        return self.service.above / self.service.below

    @property
    def answered_per_s(self) -> float | None:
        """Recent answers per second; None before the second observation."""
        return self.throughput.above / self.throughput.below if self.throughput.below else None
