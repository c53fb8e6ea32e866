"""Chooses the lane for a request, with reasons: ranks what `weighing` found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from browser_runtime.contract.vocabulary import HEALTHY_SCORE, Backend
from browser_runtime.policies.scoring import Candidate, Need, prior_parts
from browser_runtime.policies.weighing import Weighed, weigh_candidates

# A wait behind others is less sure than a start now: it has to be a fifth shorter to be worth it.
BUSY_RISK = 1.25

Pair = tuple[Candidate, Weighed]


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """The lane that gets the request, and why."""

    session: str
    lane: int
    backend: Backend
    expected_ms: float
    reasons: tuple[str, ...]
    weighed: tuple[Weighed, ...]
    """Every candidate, best expected time first, excluded ones last."""

    def to_routing(self) -> dict[str, object]:
        """Plain values for `reply.routing`."""
        return {
            "session": self.session,
            "lane": self.lane,
            "expected_ms": round(self.expected_ms, 1),
            "reasons": list(self.reasons),
            "candidates": [_plain(found) for found in self.weighed],
        }


def choose_session(candidates: Sequence[Candidate], need: Need) -> SessionChoice | None:
    """Return the best lane for `need`; None when every candidate is excluded (`weigh_candidates` tells why).

    A choice whose lane is not free means: wait there. In order of weight: healthy before unhealthy, free
    lanes before busy ones unless the busy one's times are measured, lanes expected to meet the deadline,
    the shortest expected time, the score.
    """
    found = list(zip(candidates, weigh_candidates(candidates, need), strict=True))
    able = [pair for pair in found if not pair[1].excluded]
    if not able:
        return None
    winner, weighed = min(_competing(able), key=lambda pair: _rank(pair, need.remaining_ms))
    assert winner.platform is not None, "a lane without a backend is excluded"
    return SessionChoice(
        winner.session,
        winner.lane,
        winner.platform,
        weighed.expected_ms,
        _explain(winner, need, weighed, [w for _, w in found]),
        tuple(sorted((w for _, w in found), key=_order)),
    )


def _competing(able: Sequence[Pair]) -> Sequence[Pair]:
    """Return those among whom time decides."""
    willing = _preferably(able, lambda c: not c.has_refused)
    healthy = _preferably(willing, lambda c: c.health >= HEALTHY_SCORE)
    return _preferably(healthy, lambda c: c.is_free, or_else=_wait_is_measured)


def _preferably(
    pairs: Sequence[Pair],
    wanted: Callable[[Candidate], bool],
    or_else: Callable[[Candidate], bool] = lambda _: False,
) -> Sequence[Pair]:
    """Keep the wanted and the excused candidates where any is wanted; all of them otherwise."""
    if not any(wanted(c) for c, _ in pairs):
        return pairs
    return [pair for pair in pairs if wanted(pair[0]) or or_else(pair[0])]


def _wait_is_measured(candidate: Candidate) -> bool:
    """A busy lane is skipped, unless it is known how long it takes there."""
    return candidate.is_measured and candidate.is_warm and candidate.queue_ahead_ms is not None


def _rank(pair: Pair, remaining_ms: float | None) -> tuple[bool, float, float, str, int]:
    candidate, weighed = pair
    is_late = remaining_ms is not None and weighed.expected_ms > remaining_ms
    cost_ms = weighed.expected_ms * (1.0 if candidate.is_free else BUSY_RISK)
    return is_late, cost_ms, -weighed.score, candidate.session, candidate.lane


def _order(found: Weighed) -> tuple[bool, float, str, int]:
    return bool(found.excluded), found.expected_ms, found.session, found.lane


def _explain(winner: Candidate, need: Need, weighed: Weighed, everyone: Iterable[Weighed]) -> tuple[str, ...]:
    points = ", ".join(f"{value:+.0f} {reason}" for reason, value in prior_parts(winner, need))
    source = f"{winner.evidence:.1f} fresh runs" if winner.is_measured else "not measured yet"
    reasons = [
        f"{winner.session} lane {winner.lane}: answer expected in {weighed.expected_ms:.0f} ms (queue "
        f"{weighed.queue_ms:.0f}, load {weighed.load_ms:.0f}, run {weighed.run_ms:.0f}; {source})",
        f"score {weighed.score:.0f}: {points}",
    ]
    if not winner.is_free:
        reasons.append(f"waits there behind {winner.n_ahead}")
    if need.remaining_ms is not None and weighed.expected_ms > need.remaining_ms:
        reasons.append(f"expected later than the {need.remaining_ms:.0f} ms left")
    reasons += [f"not {w.session} lane {w.lane}: {w.excluded}" for w in everyone if w.excluded]
    return tuple(reasons)


def _plain(found: Weighed) -> dict[str, object]:
    values = asdict(found) | {"expected_ms": found.expected_ms}
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in values.items()}
