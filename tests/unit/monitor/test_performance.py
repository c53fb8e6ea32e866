"""Lines from rows, and answers that are kept, renewed, and explained when there are none."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from scheduler.history.history import History
from scheduler.monitor import performance as module
from scheduler.monitor.performance import Performance, draw_lines, latest_of


def run(at: float, total_ms: float = 10.0, **more: Any) -> Any:
    values = {"model": "digits-vit", "browser": "chrome", "backend": "wasm", "queue_ms": 1.0, "ok": True}
    return "runs", values | {"at": at, "total_ms": total_ms, "memory_mb": 400.0} | more


@pytest.fixture
def history(tmp_path: Path) -> Any:
    with History(tmp_path / "h.duckdb") as found:
        yield found


def test_lines_have_a_gap_where_nothing_ran() -> None:
    blank = dict.fromkeys(module.MEASURES, 1.0)
    key = {"model": "m", "browser": "chrome", "backend": "wasm"}
    told = draw_lines([key | blank | {"at_s": 60.0}, key | blank | {"at_s": 0.0, "model": "n"}])
    assert told["at_s"] == [0.0, 60.0]
    assert [line["model"] for line in told["lines"]] == ["m", "n"]
    assert [line["p50_ms"] for line in told["lines"]] == [[None, 1.0], [1.0, None]]
    assert latest_of(told["lines"][1], "p50_ms") == 1.0


async def test_the_history_is_summed_up_by_bucket_and_the_busiest_lines_are_drawn(history: History) -> None:
    now = time.time()
    start = (now - 300) // 60 * 60
    rows = [run(start + 1, ms) for ms in (10.0, 20.0, 30.0)] + [run(start + 61, 90.0, ok=False)]
    rows += [run(start + 1, model="rare"), run(now - 7200), run(start + 1, is_simulation=True)]
    rows += [run(start + 2, model=f"model {n}") for n in range(module.MAX_LINES) for _ in range(2)]
    history.append(rows)

    async def ask(name: str, **params: Any) -> list[dict[str, Any]]:
        return history.query(name, **params)

    told = await Performance(ask).read(1)
    assert told["problem"] is None and len(told["lines"]) == module.MAX_LINES
    assert "rare" not in {line["model"] for line in told["lines"]}
    (line,) = [line for line in told["lines"] if line["model"] == "digits-vit"]
    assert told["at_s"] == [start, start + 60]
    assert (line["n"], line["n_failed"]) == ([3, 1], [0, 1])
    assert line["p50_ms"] == [20.0, None]


async def test_a_change_that_was_found_twice_is_told_once(history: History) -> None:
    now = time.time()
    found = {"metric": "latency", "changed_at": now - 60, "before": 20.0, "after": 32.0, "effect": 0.6}
    found |= {"series": json.dumps({"model": "m"}), "direction": "regression", "p_value": 0.001}
    history.append([("changes", found | {"at": now - 5, "severity": "low"})])
    history.append([("changes", found | {"at": now, "severity": "critical"})])
    (change,) = history.query("monitor_changes", since_s=now - 3600)
    assert change["severity"] == "critical" and change["changed_at_s"] == pytest.approx(now - 60, abs=0.01)


async def test_an_answer_is_asked_for_once_and_kept() -> None:
    asked = []

    async def ask(name: str, **_: Any) -> list[dict[str, Any]]:
        asked.append(name)
        await asyncio.sleep(0)
        return []

    told = Performance(ask)
    await asyncio.gather(*(told.read(24) for _ in range(5)))
    await told.read(24)
    assert sorted(asked) == ["monitor_changes", "monitor_runs"]


async def test_without_a_history_the_page_says_why_and_keeps_what_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TTL_S", 0.0)
    key = {"model": "m", "browser": "chrome", "backend": "wasm", "at_s": 0.0}
    answers: list[Any] = [[key | dict.fromkeys(module.MEASURES, 1.0)], [], OSError("nobody answers")]

    async def ask(name: str, **_: Any) -> list[dict[str, Any]]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    told = Performance(ask)
    first = await told._fetch(1)
    told._kept[1] = first
    second = await told.read(1)
    assert "nobody answers" in second["problem"] and second["lines"] == first["lines"]


async def test_who_cannot_wait_gets_at_once_what_there_is() -> None:
    never = asyncio.Event()

    async def ask(name: str, **_: Any) -> list[dict[str, Any]]:
        await never.wait()
        return []

    told = Performance(ask)
    assert told.peek(1)["problem"] == "the history has not answered yet"
    (asking,) = told._asking.values()
    never.set()
    await asking
    assert told.peek(1)["problem"] is None
