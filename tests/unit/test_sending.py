"""When a request was sent, and how long it waited since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sending.headers import FIXED, SENT_AT, stamp, waited_ms

TIMES = st.floats(0, 4e9)


def test_the_stamp_joins_the_callers_headers_and_is_anew_each_time() -> None:
    theirs = {"trace": "a", SENT_AT: 5.0}
    options: dict[str, Any] = {"headers": theirs, "queue": "q"}
    stamp(options)
    assert options["headers"]["trace"] == "a" and options["headers"][SENT_AT] > 1e9
    assert theirs[SENT_AT] == 5.0  # a signature that is sent twice keeps its own
    alone: dict[str, Any] = {"headers": None}
    stamp(alone)
    assert list(alone["headers"]) == [SENT_AT, FIXED]


@given(TIMES, TIMES)
def test_the_wait_is_never_negative_whatever_the_clocks(sent: float, now: float) -> None:
    assert waited_ms({SENT_AT: sent}, None, now) == pytest.approx(max(now - sent, 0) * 1000)


def test_a_delay_that_was_asked_for_is_no_wait() -> None:
    eta = datetime.fromtimestamp(1060, UTC).isoformat()
    assert waited_ms({SENT_AT: 1000.0}, eta, 1061.0) == pytest.approx(1000)
    assert waited_ms({SENT_AT: 1000.0}, eta, 1059.0) == 0


@pytest.mark.parametrize("headers", [None, {}, {SENT_AT: None}, {SENT_AT: "soon"}, "none"])
@pytest.mark.parametrize("eta", [None, "tomorrow", 3])
def test_what_is_not_told_is_no_wait(headers: Any, eta: Any) -> None:
    assert waited_ms(headers, eta, 1000.0) == 0
