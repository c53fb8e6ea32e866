"""Rows wait for the history; who puts one never does. The thread itself is not needed to see that."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from scheduler.history.draining import SourceCount, count_in
from tasks.telemetry import MAX_ROWS, Row, StreamEntry, batch_up, decode, encode
from tasks.telemetry.recorder import PeriodicTask, Recorder


def row(number: int) -> Row:
    return "runs", {"task_id": str(number), "at": 0.0}


class Sink:
    """Takes deliveries, and refuses or forgets to confirm as it is told."""

    def __init__(self) -> None:
        self.entries: list[StreamEntry] = []
        self.refuse = self.forget = False

    def __call__(self, rows: list[Row], before: int) -> None:
        if self.refuse:
            raise ConnectionError("away")
        self.entries.append(decode(encode(StreamEntry(batch_up(rows), "w1", before))))
        if self.forget:
            raise TimeoutError("it arrived, but nobody was told")

    def kept(self) -> tuple[list[int], int]:
        """What the history would hold, and how many rows it would miss."""
        batches, counts, _ = count_in(self.entries, {}, adopt=False)
        known = counts.get("w1", SourceCount(0, 0))
        return [int(values[0]) for batch in batches for values in batch.rows], known.n_dropped


def test_rows_are_delivered_in_order_and_in_bounded_batches() -> None:
    sink = Sink()
    recorder = Recorder(sink)
    for number in range(2 * MAX_ROWS + 1):
        recorder.put(row(number))
    assert recorder.flush() and recorder.n_waiting == 0
    assert [entry.n_rows for entry in sink.entries] == [MAX_ROWS, MAX_ROWS, 1]
    assert sink.kept() == (list(range(2 * MAX_ROWS + 1)), 0)


def test_what_cannot_be_delivered_waits_then_the_oldest_go_and_are_counted() -> None:
    sink = Sink()
    recorder = Recorder(sink, max_waiting=10)
    sink.refuse = True
    for number in range(35):
        recorder.put(row(number))
    assert not recorder.flush() and recorder.n_waiting == 10 and recorder.n_dropped == 25
    sink.refuse = False
    assert recorder.flush() and sink.kept() == (list(range(25, 35)), 25)


@given(st.lists(st.sampled_from(["put", "flush", "refused", "unconfirmed"]), max_size=60))
def test_whatever_happens_no_row_comes_twice_and_each_is_kept_or_counted(steps: list[str]) -> None:
    sink = Sink()
    recorder = Recorder(sink, max_waiting=4)
    n = 0
    for step in steps:
        sink.refuse, sink.forget = step == "refused", step == "unconfirmed"
        if step == "put":
            recorder.put(row(n))
            n += 1
        else:
            recorder.flush()
    sink.refuse = sink.forget = False
    recorder.put(row(n))
    assert recorder.flush()
    kept, n_missed = sink.kept()
    assert kept == sorted(set(kept)) and kept[-1] == n
    assert len(kept) + n_missed == n + 1 and n_missed == recorder.n_dropped


def test_the_thread_delivers_does_its_chores_and_ends() -> None:
    sink, done = Sink(), threading.Event()
    recorder = Recorder(sink, interval_s=0.01)
    broken = PeriodicTask(0.0, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    recorder.periodic += [broken, PeriodicTask(0.0, done.set)]
    recorder.start()
    recorder.put(row(0))
    assert done.wait(60), "one chore that fails keeps no other from being done"
    recorder.stop()
    assert sink.kept() == ([0], 0)
    recorder.put(row(1))
    assert recorder.n_waiting == 1


def test_a_source_that_is_met_in_the_midst_of_its_life() -> None:
    entries = [StreamEntry(batch_up([row(7)]), "w1", 7)]
    assert count_in(entries, {}, adopt=True)[1:] == ({"w1": SourceCount(8, 0)}, 0)
    assert count_in(entries, {}, adopt=False)[1:] == ({"w1": SourceCount(8, 7)}, 7)
    assert count_in(entries, {"w1": SourceCount(8, 7)}, adopt=False) == ([], {}, 0)
