"""The load of the processors is that of the time since the look before."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import namedtuple

import psutil
import pytest

from browser_runtime.pool.reporting.processor import SHORTEST_SPAN_S, ProcessorMeter
from tests.processes import running

Times = namedtuple("Times", ["user", "idle", "iowait", "guest"])


def test_it_is_the_share_of_what_passed() -> None:
    times, now = [Times(100.0, 1000.0, 0.0, 50.0)], [0.0]
    meter = ProcessorMeter(lambda: times[0], lambda: now[0])
    assert meter.look() == 0, "nothing has passed"
    times[0], now[0] = Times(103.0, 1004.0, 1.0, 52.0), 4.0
    # Of 8 s 5 went into idling and waiting for a disk; what guests took is in the user time already.
    assert meter.look() == pytest.approx(100 * 3 / 8)
    times[0], now[0] = Times(203.0, 1004.0, 1.0, 52.0), 4.0 + SHORTEST_SPAN_S / 2
    assert meter.look() == pytest.approx(100 * 3 / 8), "too short a time to tell"
    now[0] = 5.0
    assert meter.look() == 100


def test_a_busy_machine_is_not_at_zero() -> None:
    spin = "print(flush=True)\nwhile True: pass"
    with running([sys.executable, "-c", spin], stdout=subprocess.PIPE) as spinning:
        spinning.stdout.readline()
        meter = ProcessorMeter()
        deadline = time.monotonic() + 60
        while meter.look() <= 50 / (psutil.cpu_count() or 1):
            assert time.monotonic() < deadline
            time.sleep(SHORTEST_SPAN_S)
