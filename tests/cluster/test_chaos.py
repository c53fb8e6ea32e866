"""The exercise of faults at random, in short: nothing is lost, wrong or left broken."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_runtime.contract.vocabulary import Browser
from tasks.settings import TaskSettings
from tests.cluster.conftest import disconnect_app, point_app
from tests.exercises.chaos.exercise import run_chaos
from tests.exercises.chaos.faults import FAULTS

# On two idle processors most kinds have their turn within it.
SECONDS = 45.0
# What computes for ever takes a minute of it, and has a test of its own: tests/browser/test_hangs.py.
LONG = "ask for ever"


@pytest.fixture
def short_folder(settings: TaskSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """For sockets, open to the user of root's browsers; the app is pointed elsewhere meanwhile."""
    for name in [name for name in os.environ if name.startswith("WEBINFER_")]:
        if not name.endswith(("_BINARY", "_DRIVER", "_CACHE_DIR")):
            monkeypatch.delenv(name)
    disconnect_app()
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
    disconnect_app()
    point_app(settings)


@pytest.mark.browser("edge")
def test_nothing_is_lost_wrong_or_left_broken_under_faults(short_folder: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    result = run_chaos(
        short_folder,
        seed=13,
        seconds=SECONDS,
        faults=[name for name in FAULTS if name != LONG],
        tell=lambda state, seconds: print(f"{seconds:.0f} s  {state}"),
        n_producers=2,
        browsers=(Browser.EDGE,),
        pause_s=(0.0, 0.2),
        patience=4.0,  # what stays broken is looked for here, how long recovery takes by the exercise itself
        keep=logs,
        least=3,  # on a busy machine a single recovery may take longer than all of it
        point=lambda url: point_app(TaskSettings(broker_url=url)),
    )
    if not result.is_clean:
        print((logs / "worker-edge-text.log").read_text())
    assert result.is_clean, (result.flaws, [each for each in result.recoveries if each.problem])
    assert result.outcomes["right"] >= 10, "few enough for a busy machine"
    assert len(result.recoveries) >= 3
