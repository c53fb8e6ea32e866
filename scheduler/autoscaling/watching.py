"""What is remembered of a queue between observations: arrivals, answers, workers that come and go. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from browser_runtime.scaling.values import Decision, Replica, ScalingMemory
from scheduler.autoscaling.estimates import QueueEstimates
from scheduler.autoscaling.signals import Snapshot, WorkerSnapshot
from scheduler.autoscaling.values import QueueView

# A worker that was asked for and did not come within this time does not come: it is asked for again.
START_TIMEOUT_S = 120.0
# A worker that was asked to stop and still answers after this time was not stopped.
STOP_TIMEOUT_S = 60.0
# A worker may miss a look, while it is busy or loses its connection; one that is silent for so long is gone.
SILENCE_S = 20.0
# Where no start was seen and no browser reported how long it took.
FIRST_START_S = 10.0
# A start is a browser's and a process's; each new measurement counts for this share.
START_SHARE = 0.5


@dataclass
class QueueWatch:
    """What is remembered of one queue."""

    queue: str
    estimates: QueueEstimates = field(default_factory=QueueEstimates)
    memory: ScalingMemory = field(default_factory=ScalingMemory)
    start_s: float | None = None
    """From asking for a worker until it answered, as measured."""
    _seen: dict[str, tuple[float, WorkerSnapshot]] = field(default_factory=dict)
    """When each worker answered last, and what."""
    _counted: dict[str, int] = field(default_factory=dict)
    """What each worker had answered when it was counted last."""
    _backlog: int | None = None
    _asked_s: list[float] = field(default_factory=list)
    """When each of the workers on their way was asked for."""
    _stopping: dict[str, float] = field(default_factory=dict)
    """When each worker was asked to stop."""

    def view(self, snapshot: Snapshot, now: float) -> QueueView:
        """The queue at this look; call it once a look."""
        here = {name: worker for name, worker in snapshot.workers.items() if self.queue in worker.queues}
        backlog = snapshot.depths.get(self.queue, 0) + snapshot.in_flight.get(self.queue, 0)
        self._count(here, backlog, now)
        self._welcome(here, now)
        self._remember(here, now)
        staying = {name: worker for name, (_, worker) in self._seen.items() if name not in self._stopping}
        return self._view(snapshot, staying)

    def _count(self, here: Mapping[str, WorkerSnapshot], backlog: int, now: float) -> None:
        if self._seen.keys() - here.keys() - self._stopping.keys():
            return  # what the silent ones answered is not known: count at the next look, for both
        n_answered = sum(self._answered_since(name, worker.answered) for name, worker in here.items())
        n_arrived = 0 if self._backlog is None else max(backlog - self._backlog + n_answered, 0)
        is_first, self._backlog = self._backlog is None, backlog
        load = sum(worker.load for worker in here.values())
        self.estimates.note(now, n_arrived, 0 if is_first else n_answered, load)
        self._counted |= {name: worker.answered for name, worker in here.items()}

    def _answered_since(self, name: str, answered: int) -> int:
        """Since the last look; a worker of the same name that counts from nought is a new process."""
        before = self._counted.get(name, 0)
        return answered - before if answered >= before else answered

    def _welcome(self, here: Mapping[str, WorkerSnapshot], now: float) -> None:
        """Take those that have come off the list of those on their way, the longest waited for first."""
        for name in here:
            if name not in self._seen and self._asked_s:
                took_s = now - self._asked_s.pop(0)
                self.start_s = took_s if self.start_s is None else _blend(self.start_s, took_s)

    def _remember(self, here: Mapping[str, WorkerSnapshot], now: float) -> None:
        self._seen |= {name: (now, worker) for name, worker in here.items()}
        self._seen = {name: seen for name, seen in self._seen.items() if now - seen[0] < SILENCE_S}
        self._counted = {name: n for name, n in self._counted.items() if name in self._seen}
        self._asked_s = [at for at in self._asked_s if now - at < START_TIMEOUT_S]
        self._stopping = {
            name: at
            for name, at in self._stopping.items()
            if name in self._seen and now - at < STOP_TIMEOUT_S
        }

    def _view(self, snapshot: Snapshot, staying: Mapping[str, WorkerSnapshot]) -> QueueView:
        start_s = self._start_s(staying)
        starting = (Replica(f"starting-{n}", is_starting=True) for n in range(len(self._asked_s)))
        return QueueView(
            self.queue,
            (*(worker.view for worker in staying.values()), *starting),
            snapshot.depths.get(self.queue, 0),
            snapshot.in_flight.get(self.queue, 0),
            self.estimates.arrivals_per_s(),
            self.estimates.arrivals_per_s(start_s),
            self.estimates.answered_per_s,
            self.estimates.service_s,
            start_s,
            _most([worker.system_memory_percent for worker in staying.values()]) or 0.0,
            _most([worker.memory_percent for worker in staying.values()]),
            frozenset().union(*(worker.busy_models for worker in staying.values())),
            self.memory,
        )

    def _start_s(self, staying: Mapping[str, WorkerSnapshot]) -> float:
        if self.start_s is not None:
            return self.start_s
        starts_s = [worker.started_s for worker in staying.values() if worker.started_s]
        return max(starts_s, default=FIRST_START_S)

    @property
    def stopping(self) -> tuple[str, ...]:
        """The workers that were asked to stop and are not gone yet."""
        return tuple(self._stopping)

    def applied(self, decision: Decision, now: float) -> None:
        """A scaler will do as decided."""
        self.memory = decision.memory
        self._asked_s += [now] * max(decision.change, 0)
        n_fewer = max(-decision.change, 0) - len(decision.drain)
        if n_fewer > 0:  # workers that had not even come
            del self._asked_s[-n_fewer:]
        self._stopping |= dict.fromkeys(decision.drain, now)

    def shown(self, decision: Decision) -> None:
        """Nobody does as decided: only what was wanted is remembered."""
        self.memory = decision.memory


def _most(percents: list[float | None]) -> float | None:
    return max((percent for percent in percents if percent is not None), default=None)


def _blend(known_s: float, measured_s: float) -> float:
    return known_s + START_SHARE * (measured_s - known_s)
