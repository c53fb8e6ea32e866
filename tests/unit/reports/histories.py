"""A history of a month, small and telling: one regression, one browser update, one hostile name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from scheduler.history.history import History
from tasks.telemetry import Row
from tests.stand_ins.experiments import experiment_rows

# 2026-11-20 12:00 UTC.
NOW_S = 1_795_176_000.0
DAY_S = 86_400.0
N_DAYS = 14
HOSTILE = "</script><script>document.title='broken'</script>"
BROWSERS = ("firefox", "chrome", "edge")
# Firefox is a third slower in the last five days.
CHANGED_AT_S = NOW_S - 5 * DAY_S
SLOWDOWN = 1.35


def make_history(path: Path) -> History:
    """An open history with every kind of row."""
    history = History(path)
    history.append([*_runs(), *_happenings(), *_decisions()])
    return history


def _runs() -> list[Row]:
    return [
        ("runs", _run(model, browser, hour, nth))
        for hour in range(0, N_DAYS * 24, 4)
        for browser in BROWSERS
        for model in ("bert", HOSTILE)
        for nth in range(4)
    ]


def _run(model: str, browser: str, hour: int, nth: int) -> dict[str, Any]:
    at_s = NOW_S - N_DAYS * DAY_S + hour * 3600 + nth * 60
    # A fixed wave in the place of noise: every value is known.
    compute_ms = {"firefox": 12.0, "chrome": 10.0, "edge": 11.0}[browser] * (1 + 0.02 * math.sin(hour + nth))
    if browser == "firefox" and at_s >= CHANGED_AT_S:
        compute_ms *= SLOWDOWN
    with_shaders = nth % 2 == 0
    return {
        "at": at_s,
        "worker": f"{browser}@host",
        "session": f"{browser}-0",
        "browser": browser,
        "browser_build": f"{browser} 150",
        "adapter": "swiftshader",
        "is_software": True,
        "model": model,
        "family": "text_embedding",
        "backend": "wasm",
        "precision": "fp32",
        "batch_size": 1,
        "compute_ms": compute_ms * (0.9 if with_shaders else 1.0),
        "total_ms": compute_ms + 5,
        "memory_mb": 300.0,
        "ok": not (browser == "edge" and nth == 3 and hour % 8 == 0),
        "is_simulation": False,
        "routing_reason": "measured" if browser == "chrome" else "exploring",
        "flags": json.dumps({"compute_shaders": True} if with_shaders else {}),
    }


def _happenings() -> list[Row]:
    build = {"browser": "firefox", "browser_build": "firefox 149", "feature": "webgpu", "value": "proved"}
    update = build | {"browser_build": "firefox 150", "value": "failed: no adapter"}
    other = build | {"browser": "chrome", "browser_build": "chrome 150"}
    told: list[Row] = [
        ("capabilities", build | {"at": NOW_S - 40 * DAY_S}),
        ("capabilities", update | {"at": CHANGED_AT_S}),
        ("capabilities", other | {"at": NOW_S - 3 * DAY_S}),
        ("capabilities", other | {"at": NOW_S - 2 * DAY_S}),
    ]
    for hour in range(0, N_DAYS * 24, 2):
        at_s = NOW_S - N_DAYS * DAY_S + hour * 3600
        for browser in BROWSERS:
            ill = browser == "firefox" and CHANGED_AT_S <= at_s < CHANGED_AT_S + DAY_S
            row = {"at": at_s, "worker": f"{browser}@host", "session": f"{browser}-0", "browser": browser}
            health = {"score": 40.0 if ill else 95.0, "breaker": "open" if ill else "closed"}
            told.append(("health", row | health | _sharing(browser, hour)))
    for browser, event, reason in (
        ("firefox", "died", "killed"),
        ("firefox", "reconnected", ""),
        ("edge", "recycled", "memory"),
    ):
        told.append(
            ("connections", {"at": CHANGED_AT_S, "browser": browser, "event": event, "reason": reason})
        )
    return told


def _sharing(browser: str, hour: int) -> dict[str, Any]:
    """Firefox takes three results of four every two hours, and starts anew each day; Edge holds nothing."""
    if browser == "edge":
        return {"sharing": None}
    done = hour % 24 + 2
    graphs = {
        "n_parts": 3,
        "n_references": 5 if done == 2 else 4,
        "size_bytes": 9_000_000,
        "saved_bytes": 2_000_000,
    }
    results = {"n_results": done, "n_references": 0, "size_bytes": 1000 * done, "dropped": 0}
    counts = {"hits": 3 * done, "misses": done, "hit_bytes": 500 * done}
    if browser == "chrome":
        counts, graphs = dict.fromkeys(counts, 0), graphs | {"n_references": 3, "saved_bytes": 0}
    return {"sharing": json.dumps({"graphs": graphs, "results": results | counts})}


def _decisions() -> list[Row]:
    series = {"model": "bert", "browser": "firefox", "backend": "wasm", "precision": "fp32", "batch_size": 1}
    change = {
        "at": CHANGED_AT_S + 3600,
        "series": json.dumps(series),
        "metric": "latency",
        "changed_at": CHANGED_AT_S,
        "before": 12.0,
        "after": 16.2,
        "effect": 0.35,
        "p_value": 0.0001,
        "severity": "high",
        "direction": "regression",
        "smallest_visible": 0.02,
    }
    route = {"model": "bert", "family": "text_embedding", "backend": "wasm", "precision": "fp32"}
    slow = route | {"browser": "firefox"}
    queue = {"scope": "queue", "name": "chrome-vision"}
    alert = {"key": "regression:latency:bert", "severity": "high", "title": "latency +35%"}
    later_s = CHANGED_AT_S + 60
    return [
        ("changes", change),
        ("routing", slow | {"at": CHANGED_AT_S - 60, "score": 0.5, "share": 0.5, "reason": "prior"}),
        ("routing", slow | {"at": later_s, "score": 0.3, "share": 0.05, "reason": "exploring"}),
        (
            "routing",
            route | {"at": later_s, "browser": "chrome", "score": 0.9, "share": 0.95, "reason": "10 ms"},
        ),
        (
            "scaling",
            queue | {"at": NOW_S - 7200, "action": "grow", "n_from": 1, "n_to": 3, "reason": "20 waiting"},
        ),
        (
            "scaling",
            queue | {"at": NOW_S - 3600, "action": "shrink", "n_from": 3, "n_to": 1, "reason": "idle"},
        ),
        (
            "experiments",
            {
                "at": NOW_S - 1800,
                "kind": "compare",
                "model": "bert",
                "verdict": f"b is 7.1 % slower {HOSTILE}",
                "fingerprint": "0123456789ab",
            },
        ),
        *experiment_rows(HOSTILE, NOW_S - 3600),
        ("alerts", alert | {"at": later_s, "text": f"of {HOSTILE}", "state": "opened"}),
    ]
