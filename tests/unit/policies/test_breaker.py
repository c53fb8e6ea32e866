"""The breaker against a model of the guide's words, and what it must never do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from browser_runtime.contract.status import BreakerState
from browser_runtime.policies.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy()


class AgainstTheGuide(RuleBasedStateMachine):
    """The model is the guide's sentence, word by word, with the time written down as events."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.breaker = Breaker(POLICY)
        self.opened_at: float | None = None
        self.in_a_row = 0
        self.probes: list[float] = []
        self.probe_successes = 0

    @property
    def expected(self) -> BreakerState:
        if self.opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.now < self.opened_at + 30 else BreakerState.HALF_OPEN

    def reopen(self) -> None:
        self.opened_at, self.probes, self.probe_successes = self.now, [], 0

    @rule(seconds=st.integers(0, 200))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        state = self.expected
        self.probes = [at for at in self.probes if self.now < at + POLICY.probe_lease_s]
        may = state is BreakerState.CLOSED or (
            state is BreakerState.HALF_OPEN and len(self.probes) + self.probe_successes < 3
        )
        assert self.breaker.would_allow(self.now) is may
        assert self.breaker.allow(self.now) is may
        if may and state is BreakerState.HALF_OPEN:
            self.probes.append(self.now)

    @rule()
    def succeed(self) -> None:
        state = self.expected
        self.breaker.record_success(self.now)
        if state is BreakerState.CLOSED:
            self.in_a_row = 0
        elif state is BreakerState.HALF_OPEN and self.probes:
            self.probes.pop(0)
            self.probe_successes += 1
            if self.probe_successes == 3:
                self.opened_at, self.in_a_row, self.probes, self.probe_successes = None, 0, [], 0

    @rule(crash=st.booleans())
    def fail(self, crash: bool) -> None:
        state = self.expected
        self.breaker.record_failure(self.now, crash)
        self.in_a_row += 1
        if crash or state is BreakerState.HALF_OPEN or (state is BreakerState.CLOSED and self.in_a_row >= 5):
            self.reopen()

    @rule()
    def withdraw(self) -> None:
        if self.expected is BreakerState.HALF_OPEN and self.probes:
            self.probes.pop()
        self.breaker.withdraw(self.now)

    @invariant()
    def is_in_the_expected_state(self) -> None:
        counts = self.breaker.counts(self.now)
        assert counts.state is self.breaker.state(self.now) is self.expected
        assert counts.failures == self.in_a_row
        assert counts.successes == self.probe_successes < 3

    @invariant()
    def nothing_goes_there_while_open(self) -> None:
        if self.expected is BreakerState.OPEN:
            assert not self.breaker.would_allow(self.now)


TestAgainstTheGuide = AgainstTheGuide.TestCase


def opened() -> Breaker:
    breaker = Breaker()
    breaker.record_failure(0.0, crash=True)
    return breaker


@given(st.integers(1, 20))
def test_five_failures_in_a_row_open_it(n: int) -> None:
    breaker = Breaker()
    for _ in range(n):
        breaker.record_failure(0.0)
    assert (breaker.state(0.0) is BreakerState.OPEN) is (n >= 5)


@given(st.lists(st.floats(30, 1e5), max_size=30).map(sorted))
def test_no_moment_has_more_than_three_probes(times: list[float]) -> None:
    breaker = opened()
    granted = [at for at in times if breaker.allow(at)]
    assert all(sum(at - POLICY.probe_lease_s < g <= at for g in granted) <= 3 for at in granted)


def test_lost_probes_do_not_hold_it_half_open_for_ever() -> None:
    breaker = opened()
    assert [breaker.allow(30.0) for _ in range(4)] == [True, True, True, False]
    assert breaker.allow(30.0 + POLICY.probe_lease_s)


@given(st.floats(30, 1e6))
def test_it_can_always_be_closed_again(now: float) -> None:
    breaker = opened()
    for _ in range(3):
        assert breaker.allow(now)
        breaker.record_success(now)
    assert breaker.state(now) is BreakerState.CLOSED


def test_a_withdrawn_probe_gives_its_place_back() -> None:
    breaker = opened()
    assert all(breaker.allow(30.0) for _ in range(3))
    breaker.withdraw(30.0)
    assert breaker.allow(30.0)
    assert not breaker.allow(30.0)
