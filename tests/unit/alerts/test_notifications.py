"""What is still to be delivered."""

from __future__ import annotations

from scheduler.alerts.alert import Alert, News, Notice, Severity
from scheduler.alerts.notifications import (
    FIRST_WAIT_S,
    GIVE_UP_AFTER_S,
    MAX_WAIT_S,
    Notification,
    after_try,
    is_given_up,
    write_notification,
)

NOTICE = Notice(News.OPENED, Alert("queue:edge", Severity.HIGH, "dead", "it is dead"))
LETTER = write_notification(NOTICE, ("a", "b"), 100.0)


def failed(letter: Notification, now_s: float) -> Notification:
    left = after_try(letter, {}, now_s)
    assert left is not None
    return left


def test_a_letter_is_due_at_once() -> None:
    assert (LETTER.due_at_s, LETTER.title) == (100.0, "[webinfer] HIGH: dead")


def test_only_who_did_not_take_it_is_tried_again() -> None:
    left = after_try(LETTER, {"a": True, "b": False}, 100.0)
    assert left is not None
    assert (left.targets, left.n_tries, left.due_at_s) == (("b",), 1, 100.0 + FIRST_WAIT_S)


def test_nothing_is_left_when_all_took_it() -> None:
    assert after_try(LETTER, {"a": True, "b": True}, 100.0) is None


def test_waits_double_up_to_a_limit() -> None:
    letter, waits = LETTER, []
    for _ in range(9):
        letter = failed(letter, 0.0)
        waits.append(letter.due_at_s)
    assert waits[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert max(waits) == MAX_WAIT_S == waits[-1]


def test_it_is_given_up_after_a_day_but_never_untried() -> None:
    late = 100.0 + GIVE_UP_AFTER_S
    assert not is_given_up(LETTER, late)
    assert not is_given_up(failed(LETTER, late - 1), late - 1)
    assert is_given_up(failed(LETTER, late), late)


def test_it_survives_json() -> None:
    assert Notification.from_plain(LETTER.to_plain()) == LETTER
