"""The state of a queue between observations: arrivals, answers, workers that start and stop. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from browser_runtime.scaling.values import Decision, Replica, ScalingMemory
from scheduler.autoscaling.estimates import QueueEstimates
from scheduler.autoscaling.signals import Snapshot, WorkerSnapshot
from scheduler.autoscaling.values import QueueView

# A worker that did not start within this time is counted as failed, and wanted again.
START_TIMEOUT_S = 120.0
# A worker that still answers this long after it was to stop was not stopped.
STOP_TIMEOUT_S = 60.0
# A worker may miss an observation while busy or disconnected; one that is silent for so long is gone.
SILENCE_S = 20.0
# Before any start was measured.
FIRST_START_S = 10.0
# The weight of each new measurement of a start.
START_SHARE = 0.5


@dataclass
class QueueWatch:
    """The state of one queue."""

    queue: str
    estimates: QueueEstimates = field(default_factory=QueueEstimates)
    memory: ScalingMemory = field(default_factory=ScalingMemory)
    start_s: float | None = None
    """Measured seconds from deciding on a worker until it answered."""
    _seen: dict[str, tuple[float, WorkerSnapshot]] = field(default_factory=dict)
    """Each worker's last answer, and its time."""
    _counted: dict[str, int] = field(default_factory=dict)
    """The number of requests each worker had answered at the last count."""
    _backlog: int | None = None
    _asked_s: list[float] = field(default_factory=list)
    """The time of the decision for each worker that is starting."""
    _stopping: dict[str, float] = field(default_factory=dict)
    """The time of the decision for each worker that is to stop."""

    def view(self, snapshot: Snapshot, now: float) -> QueueView:
        """The queue in this observation; call it once for each."""
        here = {name: worker for name, worker in snapshot.workers.items() if self.queue in worker.queues}
        backlog = snapshot.depths.get(self.queue, 0) + snapshot.in_flight.get(self.queue, 0)
        self._count(here, backlog, now)
        self._note_started(here, now)
        self._remember(here, now)
        staying = {name: worker for name, (_, worker) in self._seen.items() if name not in self._stopping}
        return self._view(snapshot, staying)

    def _count(self, here: Mapping[str, WorkerSnapshot], backlog: int, now: float) -> None:
        if self._seen.keys() - here.keys() - self._stopping.keys():
            return  # a worker is silent: its answers are counted at the next observation
        n_answered = sum(self._answered_since(name, worker.answered) for name, worker in here.items())
        n_arrived = 0 if self._backlog is None else max(backlog - self._backlog + n_answered, 0)
        is_first, self._backlog = self._backlog is None, backlog
        load = sum(worker.load for worker in here.values())
        self.estimates.note(now, n_arrived, 0 if is_first else n_answered, load)
        self._counted |= {name: worker.answered for name, worker in here.items()}

    def _answered_since(self, name: str, answered: int) -> int:
        """The answers since the last count; a lower number than before means a new process."""
        before = self._counted.get(name, 0)
        return answered - before if answered >= before else answered

    def _note_started(self, here: Mapping[str, WorkerSnapshot], now: float) -> None:
        """Match workers seen for the first time with those that are starting, oldest first."""
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
        """The workers that are to stop and not gone yet."""
        return tuple(self._stopping)

    def note_applied(self, decision: Decision, now: float) -> None:
        """Remember a decision that a scaler will carry out."""
        self.memory = decision.memory
        self._asked_s += [now] * max(decision.change, 0)
        n_fewer = max(-decision.change, 0) - len(decision.drain)
        if n_fewer > 0:  # workers that were still starting
            del self._asked_s[-n_fewer:]
        self._stopping |= dict.fromkeys(decision.drain, now)

    def note_shown(self, decision: Decision) -> None:
        """Remember a decision that nobody carries out."""
        self.memory = decision.memory


def _most(percents: list[float | None]) -> float | None:
    return max((percent for percent in percents if percent is not None), default=None)


def _blend(known_s: float, measured_s: float) -> float:
    return known_s + START_SHARE * (measured_s - known_s)
