"""Which session goes when there is one too many."""

from __future__ import annotations

from collections.abc import Sequence

from browser_runtime.deciders.scaling_values import SessionView


def choose_drain(
    sessions: Sequence[SessionView], busy_models: frozenset[str], force: bool = False
) -> str | None:
    """The name of the session to drain; None where none may go.

    Never the only warm holder of a busy model (Ray Serve's users complain of just that), nor one that starts:
    it is not known yet what it is good for. Unusable sessions go first, then idle ones, then those whose
    models are cheapest to miss. `force`: a person asked for fewer, so sole holders may go, after all others.
    """
    ready = [session for session in sessions if not session.is_starting]
    may_go = [s for s in ready if not sole_models(s, ready, busy_models)]
    if not may_go and force:
        may_go = list(sessions)
    chosen = min(may_go, key=lambda s: _worth(s, sessions, busy_models), default=None)
    return None if chosen is None else chosen.name


def sole_models(
    session: SessionView, sessions: Sequence[SessionView], busy_models: frozenset[str]
) -> frozenset[str]:
    """The busy models that no other usable, running session holds warm."""
    held = (s.warm_models for s in sessions if s.name != session.name and s.is_usable and not s.is_starting)
    return (session.warm_models & busy_models).difference(*held)


def _worth(
    session: SessionView, sessions: Sequence[SessionView], busy_models: frozenset[str]
) -> tuple[int, bool, bool, float, int, int, str]:
    """Smallest goes first; the name only breaks ties."""
    return (
        len(sole_models(session, sessions, busy_models)),
        session.is_usable,
        not session.is_starting,
        session.n_busy / max(session.n_lanes, 1),
        len(session.warm_models & busy_models),
        len(session.warm_models),
        session.name,
    )
