"""Forecasts busy lanes: arrivals, foreseen from recent ones, times what a request takes."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

# Arrivals are counted by this many seconds: about a browser's start, which is what the forecast looks ahead.
BIN_S = 5.0
# Smoothing of level and trend, and how much of the trend is left a bin later. A level share of 0.3 remembers
# about six bins (30 s, the guide's cool-down); a small trend share keeps chance from looking like a trend;
# Hyndman and Athanasopoulos advise a damping of 0.8 to 0.98.
LEVEL_SHARE, TREND_SHARE, DAMPING = 0.3, 0.1, 0.9
# A count this many standard deviations (Poisson: the root of the expected count) above the forecast is a
# burst; chance alone does that less than once in an hour of bins.
BURST_DEVIATIONS = 4.0
# After this many empty bins nothing is left of what was before (0.7^60 is 5e-10).
FORGOTTEN_BINS = 60
# A model without arrivals at this rate (one in 50 s) is not busy.
BUSY_RATE_PER_S = 0.02
MAX_MODELS = 64
# Long enough to smooth single requests, short enough to notice a load within a browser's start or two.
LOAD_HALF_LIFE_S = 10.0


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """Holt's linear method with a damped trend over counted bins; `level` and `trend` in arrivals a second.

    Source: Gardner and McKenzie, "Forecasting trends in time series", Management Science 31 (1985); Hyndman
    and Athanasopoulos, "Forecasting: Principles and Practice", chapter 8.2.
    """

    bin_start_s: float = -math.inf
    n_in_bin: int = 0
    level: float = 0.0
    trend: float = 0.0
    n_bins: int = 0
    """Bins that have gone into level and trend."""

    def after(self, now: float, n: int = 1) -> ArrivalRate:
        """The rate with `n` arrivals at `now`."""
        state = self._advanced(now)
        return replace(state, n_in_bin=state.n_in_bin + n)

    def per_s(self, now: float, horizon_s: float = 0.0) -> float:
        """Arrivals a second expected at `now + horizon_s`; never negative.

        A burst is seen before its bin is over, once the bin counts more than chance explains.
        """
        state = self._advanced(now)
        steps = max(horizon_s, 0.0) / BIN_S
        damped_steps = DAMPING * (1 - DAMPING**steps) / (1 - DAMPING)
        forecast = float(max(state.level + damped_steps * state.trend, 0.0))
        expected = forecast * BIN_S
        is_burst = state.n_in_bin > expected + BURST_DEVIATIONS * math.sqrt(expected)
        return state.n_in_bin / BIN_S if is_burst else forecast

    def _advanced(self, now: float) -> ArrivalRate:
        """The same rate with every bin closed that ended by `now`."""
        if self.bin_start_s == -math.inf:
            return replace(self, bin_start_s=now)
        n_over = int((now - self.bin_start_s) // BIN_S)
        if n_over > FORGOTTEN_BINS:
            return ArrivalRate(bin_start_s=now)
        state = self
        for _ in range(n_over):
            state = state._closed()
        return state

    def _closed(self) -> ArrivalRate:
        seen = self.n_in_bin / BIN_S
        start_s, n_bins = self.bin_start_s + BIN_S, self.n_bins + 1
        if self.n_bins == 0:
            return ArrivalRate(start_s, 0, seen, 0.0, n_bins)
        expected = self.level + DAMPING * self.trend
        level = LEVEL_SHARE * seen + (1 - LEVEL_SHARE) * expected
        trend = TREND_SHARE * (level - self.level) + (1 - TREND_SHARE) * DAMPING * self.trend
        return ArrivalRate(start_s, 0, level, trend, n_bins)


class Arrivals:
    """Arrival rates by model; the one without arrivals for longest is forgotten first."""

    def __init__(self, max_models: int = MAX_MODELS) -> None:
        self._max_models = max_models
        self._rates: OrderedDict[str, ArrivalRate] = OrderedDict()

    def record(self, model: str, now: float, n: int = 1) -> None:
        """Count `n` requests for `model`."""
        self._rates[model] = self._rates.pop(model, ArrivalRate()).after(now, n)
        while len(self._rates) > self._max_models:
            self._rates.popitem(last=False)

    def rates_per_s(self, now: float, horizon_s: float = 0.0) -> dict[str, float]:
        """Expected arrivals a second by model, `horizon_s` from now."""
        return {model: rate.per_s(now, horizon_s) for model, rate in self._rates.items()}

    def busy_models(self, now: float) -> frozenset[str]:
        """Models with arrivals worth a warm lane."""
        return frozenset(model for model, rate in self.rates_per_s(now).items() if rate >= BUSY_RATE_PER_S)

    def forecast_load(self, now: float, horizon_s: float, service_s: Mapping[str, float]) -> float:
        """Lanes expected to be busy `horizon_s` from now: the sum of rate x service time (Little's law).

        `service_s`: measured seconds of lane time a request, its share of its batch; models without one count
        nothing, for nothing is known of them.
        """
        rates = self.rates_per_s(now, horizon_s)
        return sum(rate * service_s.get(model, 0.0) for model, rate in rates.items())


@dataclass(frozen=True, slots=True)
class MeanLoad:
    """Busy lanes averaged over time: a second counts half of one LOAD_HALF_LIFE_S later."""

    at_s: float = -math.inf
    n_busy: float = 0.0
    """Since `at_s`."""
    mean: float = 0.0

    def after(self, n_busy: float, now: float) -> MeanLoad:
        """The mean when from `now` on `n_busy` lanes are busy. To be called at every change."""
        return MeanLoad(max(now, self.at_s), n_busy, self.value(now))

    def value(self, now: float) -> float:
        """The mean at `now`."""
        if self.at_s == -math.inf:
            return 0.0
        left = math.exp2(-max(now - self.at_s, 0.0) / LOAD_HALF_LIFE_S)
        return self.n_busy + (self.mean - self.n_busy) * left
