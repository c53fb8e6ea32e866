"""A device that keeps getting lost: each step once, in order, and demotion is for good."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.policies.devices import FORGET_AFTER_S, DeviceRecord, DeviceStep

ORDER = [DeviceStep.NONE, DeviceStep.NEW_DEVICE, DeviceStep.RESTART_BROWSER, DeviceStep.DEMOTE_BACKEND]


def after(times: list[float]) -> list[DeviceStep]:
    record, steps = DeviceRecord(), []
    for now in times:
        record = record.after_loss(now)
        steps.append(record.step)
    return steps


@given(st.lists(st.floats(0, 100), min_size=1, max_size=10).map(sorted))
def test_each_loss_is_met_by_the_next_step(times: list[float]) -> None:
    assert after(times) == [ORDER[min(n, 3)] for n in range(1, len(times) + 1)]


@given(st.lists(st.floats(0, 1e5), max_size=30).map(sorted))
def test_demotion_is_for_good_and_steps_are_never_skipped(times: list[float]) -> None:
    steps = [DeviceStep.NONE, *after(times)]
    for before, now in pairwise(steps):
        assert ORDER.index(now) <= ORDER.index(before) + 1
        assert before is not DeviceStep.DEMOTE_BACKEND or now is before


@given(st.lists(st.floats(1.01, 10), max_size=10))
def test_losses_far_apart_are_each_the_first(gaps: list[float]) -> None:
    now, times = 0.0, []
    for gap in gaps:
        now += gap * FORGET_AFTER_S
        times.append(now)
    assert after(times) == [DeviceStep.NEW_DEVICE] * len(times)
