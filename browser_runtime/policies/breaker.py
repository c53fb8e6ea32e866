"""The breaker of a session or model: sends nothing to what keeps failing, then tries it with a few probes."""

from __future__ import annotations

from dataclasses import dataclass

from browser_runtime.contract.status import BreakerCounts, BreakerState


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The guide's numbers: 5 failures open it, 30 s later up to 3 probes, 3 successes close it."""

    max_failures: int = 5
    """Failures in a row; a session that fails now and then shows in its health instead."""
    open_s: float = 30.0
    max_probes: int = 3
    successes_to_close: int = 3
    probe_lease_s: float = 120.0
    """A probe that never reports gives its place back after this: the longest run without a deadline of its
    own (WEBINFER_RUN_TIMEOUT_S). Else a lost probe would hold the breaker half open for ever, as in
    https://github.com/resilience4j/resilience4j/issues/903."""


class Breaker:
    """CLOSED -> OPEN -> HALF_OPEN -> CLOSED or OPEN. Every method takes the monotonic time in seconds.

    Source: Nygard, "Release It!", 2nd edition (2018), chapter 5.
    """

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self.policy = policy or BreakerPolicy()
        self._opened_at_s: float | None = None
        self._probes: list[float] = []
        self._failures = self._successes = 0
        self._total_failures = self._total_successes = self._n_openings = 0

    def __repr__(self) -> str:
        return (
            f"<Breaker opened_at={self._opened_at_s} failures={self._failures} openings={self._n_openings}>"
        )

    def state(self, now: float) -> BreakerState:
        """The state at `now`: an open breaker becomes half open by time alone."""
        if self._opened_at_s is None:
            return BreakerState.CLOSED
        is_over = now - self._opened_at_s >= self.policy.open_s
        return BreakerState.HALF_OPEN if is_over else BreakerState.OPEN

    def closed_for_s(self, now: float) -> float:
        """Return the seconds until probes are let through; 0 where the breaker is not open."""
        if self._opened_at_s is None:
            return 0.0
        return max(self._opened_at_s + self.policy.open_s - now, 0.0)

    def would_allow(self, now: float) -> bool:
        """Return whether `allow` would say yes; takes no probe's place."""
        state = self.state(now)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and self._has_place(now))

    def allow(self, now: float) -> bool:
        """Return whether a request may go there now. A yes in HALF_OPEN takes the place of a probe.

        Every yes is to be followed by `record_success`, `record_failure` or `withdraw`.
        """
        if not self.would_allow(now):
            return False
        if self.state(now) is BreakerState.HALF_OPEN:
            self._probes.append(now)
        return True

    def _has_place(self, now: float) -> bool:
        self._probes = [at_s for at_s in self._probes if now - at_s < self.policy.probe_lease_s]
        needed = self.policy.successes_to_close - self._successes
        return len(self._probes) < min(self.policy.max_probes, needed)

    def record_success(self, now: float) -> None:
        """Record a success; while not closed, only probes tell anything of the session."""
        self._total_successes += 1
        state = self.state(now)
        if state is BreakerState.CLOSED:
            self._failures = 0
        elif state is BreakerState.HALF_OPEN and self._probes:
            self._probes.pop(0)
            self._successes += 1
            if self._successes >= self.policy.successes_to_close:
                self._close()

    def record_failure(self, now: float, crash: bool = False) -> None:
        """Record a failure through the session's own doing; a crash opens at once.

        While open, failures of requests from before do not postpone the probes; a crash does.
        """
        self._total_failures += 1
        self._failures += 1
        state = self.state(now)
        is_full = state is BreakerState.CLOSED and self._failures >= self.policy.max_failures
        if crash or is_full or state is BreakerState.HALF_OPEN:
            self._open(now)

    def withdraw(self, now: float) -> None:
        """Take back an allowed request that says nothing of the session: cancelled, or the caller's fault."""
        if self.state(now) is BreakerState.HALF_OPEN and self._probes:
            self._probes.pop()

    def counts(self, now: float) -> BreakerCounts:
        """State and counters, for metrics."""
        return BreakerCounts(
            self.state(now),
            self._failures,
            self._successes,
            self._total_failures,
            self._total_successes,
            self._n_openings,
        )

    def _open(self, now: float) -> None:
        self._opened_at_s = now
        self._n_openings += 1
        self._successes = 0
        self._probes.clear()

    def _close(self) -> None:
        self._opened_at_s = None
        self._failures = self._successes = 0
        self._probes.clear()
