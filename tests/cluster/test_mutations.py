"""Messages whose fields are mutated at random cost a worker nothing, and no good request its answer."""

from __future__ import annotations

from tasks import app
from tests.cluster.conftest import StartWorker
from tests.exercises.message_fuzz import Started, run_fuzz


def test_mutated_messages_leave_nothing_behind_and_good_ones_are_answered(start_worker: StartWorker) -> None:
    app.redis.flushall()

    def start() -> Started:
        worker = start_worker("-c", "4").ready()
        return worker.process, worker.log

    outcome = run_fuzz(seed=3, n_messages=120, start=start)
    assert outcome.is_clean, (outcome.failed, outcome.left)
    assert outcome.n_sent > 100 and outcome.n_good == 12
    assert outcome.n_buried > 20, "the mutations were seen"
