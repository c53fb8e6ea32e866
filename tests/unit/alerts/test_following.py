"""Told once when it opens, once when it gets worse, once when it is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.alerts.alert import Alert, News, OpenAlert, Severity
from scheduler.alerts.following import CLEAR_CHECKS, follow

SLOW = Alert("regression:a", Severity.MEDIUM, "slow", "it is slow")
WORSE = Alert("regression:a", Severity.HIGH, "slower", "it is slower")
DEAD = Alert("queue:edge", Severity.HIGH, "dead", "it is dead")


def play(*checks: list[Alert], unseen: frozenset[str] = frozenset()) -> list[list[News]]:
    """The news of each check, ten seconds apart."""
    state: dict[str, OpenAlert] = {}
    told = []
    for step, found in enumerate(checks):
        followed = follow(state, found, unseen, 10.0 * step)
        state = followed.open
        told.append([notice.news for notice in followed.notices])
    return told


def test_an_alert_is_told_once_as_long_as_it_lasts() -> None:
    assert play([SLOW], [SLOW], [SLOW]) == [[News.OPENED], [], []]


def test_it_is_over_only_when_it_stays_away() -> None:
    assert CLEAR_CHECKS == 2
    assert play([SLOW], [], [SLOW], [], [], []) == [[News.OPENED], [], [], [], [News.CLOSED], []]


def test_worse_is_told_and_better_is_not() -> None:
    assert play([SLOW], [WORSE], [SLOW], [WORSE]) == [[News.OPENED], [News.WORSE], [], [News.WORSE]]


def test_silence_is_no_recovery() -> None:
    unseen = frozenset({"regression"})
    assert play([SLOW, DEAD], [], [], [], unseen=unseen) == [
        [News.OPENED, News.OPENED],
        [],
        [News.CLOSED],
        [],
    ]


def test_a_recovery_says_what_it_was_and_how_long_it_lasted() -> None:
    state = follow({}, [DEAD], (), 0.0).open
    state = follow(state, [], (), 300.0).open
    (notice,) = follow(state, [], (), 600.0).notices
    assert (notice.title, notice.body) == ("[webinfer] OVER: dead", "Over after 10 min. It was: it is dead")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from(Severity)), max_size=30))
def test_news_of_an_alert_always_alternate(steps: list[tuple[bool, bool, Severity]]) -> None:
    """However it flickers: opened, perhaps worse, closed, and open exactly when the last news says so."""
    state: dict[str, OpenAlert] = {}
    is_open = False
    for step, (present, seen, severity) in enumerate(steps):
        found = [Alert("queue:edge", severity, "t", "x")] if present and seen else []
        followed = follow(state, found, () if seen else ("queue",), float(step))
        for notice in followed.notices:
            assert (notice.news is News.OPENED) != is_open
            is_open = notice.news is not News.CLOSED
        state = followed.open
        assert bool(state) == is_open
        restored = {key: OpenAlert.from_plain(each.to_plain()) for key, each in state.items()}
        assert restored == state
