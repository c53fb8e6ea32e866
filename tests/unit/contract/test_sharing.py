"""What lanes share adds up, and travels with the state of a session."""

from __future__ import annotations

from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.status import LaneStatus, SessionStatus
from browser_runtime.contract.vocabulary import Browser

PAGE = {
    "graphs": {"n_parts": 2, "n_references": 3, "size_bytes": 30, "saved_bytes": 10},
    "results": {"n_results": 1, "n_references": 0, "size_bytes": 4, "hits": 7, "misses": 2, "new": 1},
}


def test_lanes_add_up_and_what_a_page_does_not_tell_is_nothing() -> None:
    lane = LaneSharing.from_page(PAGE)
    total = LaneSharing.sum([lane, lane, LaneSharing.from_page({})])
    assert (total.graphs.saved_bytes, total.results.hits, total.results.dropped) == (20, 14, 0)
    assert LaneSharing.sum([]) == LaneSharing()


def test_it_travels_with_a_session() -> None:
    lane = LaneStatus(parts=("a" * 64,), sharing=LaneSharing.from_page(PAGE))
    session = SessionStatus("chrome-1", Browser.CHROME, lanes=(lane,))
    assert SessionStatus.from_wire(session.to_wire()) == session
