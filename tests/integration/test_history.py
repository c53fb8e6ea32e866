"""`db_path`: what an integration did is in its file, written by nobody's waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, DeadlineExceeded
from fixed_web_platform.resource_pool_bridge import ResourcePoolBridgeIntegration
from scheduler.history.history import History, HistoryUnavailable
from tests.integration.conftest import CPU


@pytest.mark.browser("chrome")
def test_runs_loads_sessions_and_capabilities_are_written(tmp_path: Path, seven: np.ndarray) -> None:
    path = tmp_path / "deep" / "metrics.duckdb"

    async def use() -> None:
        async with ResourcePoolBridgeIntegration(
            max_connections=1, adaptive_scaling=False, browser_preferences={"vision": "chrome"}, db_path=path
        ) as integration:
            model = await integration.get_model("vision", "digits-vit", CPU)
            assert (await model.run(seven))["success"]
            with pytest.raises(DeadlineExceeded):
                await model.run(seven, deadline_s=1e-4)
            assert integration.get_metrics()["history"]["rows_dropped"] == 0

    asyncio.run(use())
    with History(path) as history:
        (run, *failed) = history.read('SELECT * FROM runs ORDER BY "at"')
        assert (run["model"], run["browser"], run["backend"], run["ok"]) == (
            "digits-vit",
            "chrome",
            "wasm",
            True,
        )
        assert run["compute_ms"] > 0 and run["driver"] and run["adapter"] == "CPU" and run["queue"] == ""
        assert [(row["ok"], row["error_code"]) for row in failed] == [(False, "DeadlineExceeded")]
        (load,) = history.read("SELECT * FROM loads")
        assert load["ok"] and load["model"] == "digits-vit" and load["load_ms"] > 0
        events = [row["event"] for row in history.read('SELECT event FROM connections ORDER BY "at"')]
        assert events == ["opened", "closed"]
        found = history.read("SELECT value FROM capabilities WHERE feature = 'wasm'")
        assert found == [{"value": "proved"}]


@pytest.mark.parametrize("path", [7, "", "  ", b"x"])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(BadInput, match=r"db_path is .* but must be the path of a DuckDB file"):
        ResourcePoolBridgeIntegration(db_path=path)


def test_a_file_that_cannot_be_had_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all, " * 1000)
    integration = ResourcePoolBridgeIntegration(db_path=tmp_path / "letter.txt")
    with pytest.raises(HistoryUnavailable, match=r"letter\.txt"):
        asyncio.run(integration.initialize())
