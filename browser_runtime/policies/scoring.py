"""The guide's score of a session for a request: the prior, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

from browser_runtime.contract.acceleration import earned_points
from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Backend, Browser, Family

# The guide's table of points but for a simulation's: where a pool simulates, there is no session to choose.
# Those of each family are in `contract/acceleration.py`.
BASE = 100.0
PREFERRED, OTHER_BROWSER = 50.0, 10.0
PLATFORM_MATCH = 30.0
FULL_HEALTH = 30.0


@dataclass(frozen=True, slots=True)
class Need:
    """The demands of a request on a session."""

    family: Family
    model_key: str = ""
    """Name of the model, or its whole key: only shown in reasons."""
    preferred_browser: Browser | None = None
    """The user's preference; None: the guide's table."""
    backends: tuple[Backend, ...] = ()
    """Asked for, best first; empty: the session's own order."""
    flags: frozenset[str] = frozenset()
    """Options of the request that are on."""
    remaining_ms: float | None = None
    """Time left until its deadline."""

    @property
    def browser(self) -> Browser:
        """The preferred browser."""
        return self.preferred_browser or PREFERRED_BROWSER[self.family]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One lane of one session, as it looks now."""

    session: str
    browser: Browser
    platform: Backend | None
    """The backend this request would run on here: the first of the plan (session.plan);
    None: it can do none of those asked for."""
    lane: int = 0
    backends: tuple[Backend, ...] = ()
    """Proved in this session."""
    n_ahead: int = 0
    """Requests running or waiting there; 0: the lane is free."""
    queue_ahead_ms: float | None = None
    """Measured expectation of when it is free; None: not known."""
    is_warm: bool = False
    """The model is loaded there on `platform`."""
    load_ms: float | None = None
    """Measured time to load this model in this browser; None: never loaded."""
    latency_ms: float | None = None
    """Measured median of (model, browser, platform) for the request's number of items; None: never run."""
    evidence: float = 0.0
    """Number of fresh runs behind `latency_ms` (LatencySummary.weight)."""
    free_memory_bytes: int | None = None
    model_bytes: int | None = None
    """Memory that the model is known to need once loaded, without what models there hold of it already."""
    held_share: float = 0.0
    """The part of the model, 0 to 1, that other models hold there: it need not be fetched or compiled."""
    health: float = 100.0
    breaker_allows: bool = True
    has_refused: bool = False
    """True where no backend that the request allows took the model here."""

    @property
    def is_free(self) -> bool:
        """True where nothing is ahead."""
        return self.n_ahead == 0

    @property
    def is_measured(self) -> bool:
        """True where its run time is known."""
        return self.latency_ms is not None and self.evidence > 0


def prior_parts(candidate: Candidate, need: Need) -> tuple[tuple[str, float], ...]:
    """The points of the guide's score, each with its reason; their sum is the score.

    The points for an acceleration are for lanes that would use it.
    """
    is_preferred = candidate.browser is need.browser
    earned = earned_points(need.family, candidate.browser, candidate.platform, need.flags)
    parts = (
        (True, "base", BASE),
        (is_preferred, f"preferred browser for {need.family}", PREFERRED),
        (not is_preferred, f"{need.browser} is preferred for {need.family}", OTHER_BROWSER),
        (_platform_matches(candidate, need), f"platform {candidate.platform}", PLATFORM_MATCH),
        *((True, name, points) for name, points in earned),
        (True, f"health {candidate.health:.0f}", FULL_HEALTH * min(max(candidate.health, 0), 100) / 100),
    )
    return tuple((reason, points) for holds, reason, points in parts if holds)


def _platform_matches(candidate: Candidate, need: Need) -> bool:
    """It runs on the backend asked for first; without a wish any proved backend of a browser matches."""
    if candidate.platform is None:
        return False
    return not need.backends or candidate.platform is need.backends[0]


def prior_score(candidate: Candidate, need: Need) -> float:
    """The guide's score, 85 to 260 for a session in full health."""
    return sum(points for _, points in prior_parts(candidate, need))
