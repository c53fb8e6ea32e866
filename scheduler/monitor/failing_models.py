"""The models that fail in any worker, by the latest `model-health` events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import BreakerState, FailingModel, FailingModels
from scheduler.monitor.sessions import FORGET_AFTER_S

# Those that are refused come first.
ORDER = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


@dataclass(frozen=True, slots=True)
class FailingModelRow:
    """One failing model of one worker as pages, JSON and gauges show it."""

    worker: str
    model: str
    revision: str
    precision: str
    flags: str
    """Options that change how it is opened, joined by `+`."""
    breaker: str
    failures: int
    """In a row."""
    n_openings: int
    last_error: str


class ModelBook:
    """The latest event of every worker. Every method takes the monotonic time in seconds."""

    def __init__(self) -> None:
        self._workers: dict[str, tuple[FailingModels, float]] = {}
        self.n_refused = 0
        """Events that could not be read."""

    def hear(self, event: Mapping[str, object], now: float) -> None:
        """Note an event; one that makes no sense is only counted, since anybody's worker may send it."""
        try:
            self._workers[str(event["hostname"])] = FailingModels.from_wire(event), now
        except (KeyError, ValueError):
            self.n_refused += 1

    def leave(self, worker: str) -> None:
        """Forget a worker that said that it stops."""
        self._workers.pop(worker, None)

    def rows(self, now: float) -> list[FailingModelRow]:
        """Every failing model of every worker, those that are refused first."""
        for worker, (_, heard_at) in list(self._workers.items()):
            if now - heard_at > FORGET_AFTER_S:
                del self._workers[worker]
        found = [
            (ORDER.index(failing.breaker.state), _row(worker, key, failing))
            for worker, (models, _) in self._workers.items()
            for key, failing in models.failing_models.items()
        ]
        return [row for _, row in sorted(found, key=lambda each: (each[0], each[1].model, each[1].worker))]


def _row(worker: str, key: ModelKey, failing: FailingModel) -> FailingModelRow:
    return FailingModelRow(
        worker=worker,
        model=key.name,
        revision=key.revision,
        precision=str(key.precision),
        flags="+".join(key.flags),
        breaker=str(failing.breaker.state),
        failures=failing.breaker.failures,
        n_openings=failing.breaker.n_openings,
        last_error=failing.last_error,
    )
