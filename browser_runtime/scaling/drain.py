"""Chooses the replica that goes when there is one too many."""

from __future__ import annotations

from collections.abc import Sequence

from browser_runtime.scaling.values import Replica


def choose_drain(replicas: Sequence[Replica], busy_models: frozenset[str], force: bool = False) -> str | None:
    """Returns the name of the replica to drain; None where none may go.

    Never the only warm holder of a busy model (Ray Serve's users complain of just that), nor one that starts:
    it is not known yet what it is good for. Unusable replicas go first, then idle ones, then those whose
    models are cheapest to miss. `force`: a person asked for fewer, so sole holders may go, after all others.
    """
    ready = [replica for replica in replicas if not replica.is_starting]
    may_go = [replica for replica in ready if not sole_models(replica, ready, busy_models)]
    if not may_go and force:
        may_go = list(replicas)
    chosen = min(may_go, key=lambda replica: _worth(replica, replicas, busy_models), default=None)
    return None if chosen is None else chosen.name


def sole_models(replica: Replica, replicas: Sequence[Replica], busy_models: frozenset[str]) -> frozenset[str]:
    """Returns the busy models that no other usable, running replica holds warm."""
    others = [other for other in replicas if other.name != replica.name and other.is_usable]
    held = (other.warm_models for other in others if not other.is_starting)
    return (replica.warm_models & busy_models).difference(*held)


def _worth(
    replica: Replica, replicas: Sequence[Replica], busy_models: frozenset[str]
) -> tuple[int, bool, bool, float, int, int, str]:
    """Rank the replica by what is lost with it: the smallest goes first; the name only breaks ties."""
    return (
        len(sole_models(replica, replicas, busy_models)),
        replica.is_usable,
        not replica.is_starting,
        replica.n_busy / max(replica.n_lanes, 1),
        len(replica.warm_models & busy_models),
        len(replica.warm_models),
        replica.name,
    )
