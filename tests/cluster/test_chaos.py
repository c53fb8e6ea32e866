"""The exercise of faults at random, in short: what each fault is, and that nothing is lost by it."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Browser
from tests.exercises.chaos.exercise import run_chaos
from tests.exercises.chaos.faults import FAULTS

SECONDS = 60.0


@pytest.mark.browser("chrome", "edge")
def test_nothing_is_lost_or_wrong_under_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_BROKER_URL", os.environ.get("WEBINFER_BROKER_URL", ""))
    seed = 13
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        result = run_chaos(
            Path(folder),
            random.Random(seed),
            SECONDS,
            list(FAULTS),
            lambda state, seconds: None,
            seed=seed,
            n_producers=2,
            browsers=(Browser.CHROME, Browser.EDGE),
        )
    assert result.recoveries
    assert result.is_clean, result
