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
from scheduler.monitor.performance import Performance, Rows, choose_span, draw_lines, latest_of

NO_SPAN = {"first_s": None, "last_s": None}


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
    at_s, lines = draw_lines([key | blank | {"at_s": 60.0}, key | blank | {"at_s": 0.0, "model": "n"}])
    assert at_s == [0.0, 60.0]
    assert [line.model for line in lines] == ["m", "n"]
    assert [line.p50_ms for line in lines] == [[None, 1.0], [1.0, None]]
    assert latest_of(lines[1].p50_ms) == 1.0


async def test_the_history_is_summed_up_by_bucket_and_the_busiest_lines_are_drawn(history: History) -> None:
    now = time.time()
    start = (now - 300) // 60 * 60
    rows = [run(start + 1, ms) for ms in (10.0, 20.0, 30.0)] + [run(start + 61, 90.0, ok=False)]
    rows += [run(start + 1, model="rare"), run(now - 7200), run(start + 1, is_simulation=True)]
    rows += [run(start + 2, model=f"model {n}") for n in range(module.MAX_LINES) for _ in range(2)]
    experiment = {"at": now - 60, "kind": "compare", "model": "m", "verdict": "no difference above 1 %"}
    history.append([*rows, ("experiments", experiment), ("experiments", experiment | {"at": now - 7200})])

    answer = await performance_of(history).read(1)
    assert [one.verdict for one in answer.experiments] == ["no difference above 1 %"]
    assert answer.problem is None and len(answer.lines) == module.MAX_LINES
    assert "rare" not in {line.model for line in answer.lines}
    (line,) = [line for line in answer.lines if line.model == "digits-vit"]
    assert answer.at_s == [start, start + 60]
    assert answer.last_run_s == pytest.approx(start + 61)
    assert (line.n, line.n_failed, line.n_runs, line.n_failures) == ([3, 1], [0, 1], 4, 1)
    assert line.p50_ms == [20.0, None]


def performance_of(history: History) -> Performance:
    async def ask(name: str, **params: float) -> Rows:
        return history.query(name, **params)

    return Performance(ask)


HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("first_h", "last_h", "span_h"),
    [
        (0.05, 0.01, 1),  # a quarter of an hour of history
        (5.0, 0.1, 24),
        (1000.0, 0.1, 24),  # months of history, used now
        (1000.0, 30.0, 168),  # nothing since yesterday
        (1000.0, 200.0, 720),
        (9000.0, 2000.0, 720),  # nothing since months: as far as it goes
    ],
)
def test_the_page_opens_at_a_span_that_has_data(first_h: float, last_h: float, span_h: int) -> None:
    now = 1e9
    assert choose_span(now - first_h * HOUR_S, now - last_h * HOUR_S, now) == span_h


async def test_the_opening_span_is_by_the_runs_that_are_drawn(history: History) -> None:
    now = time.time()
    assert await performance_of(history).opening_span() == 24  # nothing there
    history.append([run(now - 100 * HOUR_S), run(now - 60, is_simulation=True), run(now - 60, backend=None)])
    assert await performance_of(history).opening_span() == 168
    history.append([run(now - 60)])
    assert await performance_of(history).opening_span() == 24


async def test_an_away_history_opens_at_the_usual_span() -> None:
    async def ask(name: str, **_: float) -> Rows:
        raise OSError("nobody answers")

    assert await Performance(ask).opening_span() == 24


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

    async def ask(name: str, **_: float) -> Rows:
        asked.append(name)
        await asyncio.sleep(0)
        return [NO_SPAN] if name == "monitor_span" else []

    performance = Performance(ask)
    await asyncio.gather(*(performance.read(24) for _ in range(5)))
    await performance.read(24)
    assert sorted(asked) == ["experiments", "monitor_changes", "monitor_runs", "monitor_span"]


async def test_without_a_history_the_page_says_why_and_keeps_what_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TTL_S", 0.0)
    key = {"model": "m", "browser": "chrome", "backend": "wasm", "at_s": 0.0}
    is_away = False

    async def ask(name: str, **_: float) -> Rows:
        if is_away:
            raise OSError("nobody answers")
        rows = {"monitor_span": [NO_SPAN], "monitor_runs": [key | dict.fromkeys(module.MEASURES, 1.0)]}
        return rows.get(name, [])

    performance = Performance(ask)
    first = await performance.read(1)
    is_away = True
    await performance.read(1)  # an answer that is asked for now comes with the next look
    second = await performance.read(1)
    assert "nobody answers" in str(second.problem)
    assert second.lines == first.lines != []


async def test_who_cannot_wait_gets_at_once_what_there_is() -> None:
    never = asyncio.Event()

    async def ask(name: str, **_: float) -> Rows:
        await never.wait()
        return [NO_SPAN] if name == "monitor_span" else []

    performance = Performance(ask)
    assert performance.peek(1).problem == "the history has not answered yet"
    (asking,) = performance._asking.values()
    never.set()
    await asking
    assert performance.peek(1).problem is None
