"""The published table: what is written is what the router reads, and only news become rows."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from unittest.mock import patch

import pytest
import redis

from browser_runtime.contract.errors import NoWorker
from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.vocabulary import Browser, Family
from scheduler.routing.calibration import Known, plan_trials
from scheduler.routing.publishing import judge
from scheduler.routing.ranking import BrowserCondition, Policy
from scheduler.routing.table import build_table, changes, read_incumbents, read_shares, write_table
from tasks.routing.router import Choice, Route, alternatives, choose_route, keys_of
from tasks.routing.routing_table import Routing, RoutingCopy, decode
from tasks.routing.serving import Presence
from tests.unit.routing.test_ranking import noisy, runs

CHROME, EDGE, FIREFOX = Browser.CHROME, Browser.EDGE, Browser.FIREFOX
VIT = keys_of(Family.VISION, "vit", "fp32")


def test_the_router_reads_what_is_written() -> None:
    table = build_table([noisy(CHROME, 50, 20), noisy(EDGE, 20, 20)], Policy())
    told = write_table(table, at=0.0)
    read = decode(told)
    best = choose_route(VIT, table=read)
    assert best.queue == "edge-text" and best.reason.startswith("edge took ") and not best.fixed
    assert choose_route(VIT, table=read, draw=0.999).reason.startswith("exploring")
    assert read_incumbents(told) == {"vision/vit|fp32": EDGE, "vision/vit|fp32|webgpu": EDGE}
    assert alternatives(VIT, read, EDGE) == (FIREFOX, CHROME)


def test_a_request_for_a_backend_goes_where_that_backend_is_quick() -> None:
    evidence = [
        noisy(CHROME, 10, 20),
        runs(CHROME, [90.0] * 9, backend="wasm"),
        noisy(EDGE, 30, 20),
        runs(EDGE, [40.0] * 9, backend="wasm"),
    ]
    read = decode(write_table(build_table(evidence, Policy()), 0.0))
    assert choose_route(keys_of(Family.VISION, "vit", "fp32"), table=read).queue == "chrome-vision"
    assert choose_route(keys_of(Family.VISION, "vit", "fp32", "wasm"), table=read).queue == "edge-text"
    assert choose_route(keys_of(Family.VISION, "vit", "fp16"), table=read).reason.endswith(
        "prior choice for vision"
    )


def test_shares_are_kept_by_the_draw() -> None:
    choices = (Choice(CHROME, "best", 0.9), Choice(EDGE, "exploring", 0.1))
    queues = [choose_route(VIT, table={VIT[0]: choices}, draw=n / 1000).queue for n in range(1000)]
    assert queues.count("edge-text") == pytest.approx(100, abs=1)


def test_only_news_become_rows() -> None:
    table = build_table([noisy(CHROME, 20, 20), noisy(EDGE, 50, 20)], Policy())
    told = write_table(table, 0.0)
    assert {row["browser"] for _, row in changes(table, {})} >= {"chrome"}
    assert changes(table, read_shares(told)) == []
    moved = build_table([noisy(CHROME, 200, 20), noisy(EDGE, 50, 20)], Policy())
    rows = [row for _, row in changes(moved, read_shares(told)) if not row["backend"]]
    assert {row["browser"]: row["share"] > 0.5 for row in rows}[EDGE]


@pytest.mark.parametrize(
    "told", [b"", b"nonsense", b"[]", b'{"entries": {"a": [{"browser": "chrome"}]}}', None]
)
def test_what_is_no_table_is_nothing_to_anybody(told: bytes | None) -> None:
    assert read_incumbents(told) in ({}, {"a": CHROME}) and read_shares(told) == {}
    if told:
        with pytest.raises(ValueError):
            decode(told)


def test_a_browser_of_the_future_is_passed_over() -> None:
    rows = [{"browser": name, "reason": "r", "share": 0.5} for name in ("servo", "edge")]
    assert decode(json.dumps({"entries": {"vision": rows}}))["vision"] == (Choice(EDGE, "r", 0.5),)


def test_the_copy_is_served_while_the_next_is_fetched_and_when_redis_is_away() -> None:
    first = json.dumps({"entries": {"vision": [{"browser": "edge", "reason": "1", "share": 1}]}}).encode()
    started, go, done = threading.Event(), threading.Event(), threading.Event()
    answers = iter([first])

    def fetch() -> Routing:
        if told := next(answers, None):
            return Routing(decode(told), Presence(frozenset(), frozenset()))
        started.set()
        go.wait(60)
        done.set()
        raise redis.ConnectionError("away")

    copy = RoutingCopy(fetch, max_age_s=0)
    assert copy.get().table["vision"][0].browser is EDGE
    assert copy.get().table["vision"][0].browser is EDGE and started.wait(60) and not done.is_set()
    assert copy.get().presence is not None
    go.set()
    assert done.wait(60) and copy.get().table["vision"][0].browser is EDGE


def test_where_there_never_was_a_table_the_prior_serves() -> None:
    def away() -> Routing:
        raise redis.ConnectionError("away")

    routing = RoutingCopy(away).get()
    assert choose_route(VIT, table=routing.table, presence=routing.presence).queue == "chrome-vision"


def test_a_queue_without_a_worker_is_passed_over() -> None:
    table = {VIT[1]: (Choice(EDGE, "edge took 8 ms"), Choice(FIREFOX, "firefox took 9 ms", 0))}

    def route(served: str = "", expected: str = "") -> Route:
        presence = Presence(frozenset(served.split()), frozenset(expected.split()))
        return choose_route(VIT, table=table, presence=presence)

    assert route("edge-text chrome-vision") == Route("edge-text", "edge took 8 ms")
    found = route("chrome-vision", "edge-text chrome-vision")
    assert (found.queue, found.preferred) == ("chrome-vision", "edge-text")
    reason = "no worker serves edge-text (edge took 8 ms); chrome-vision is the next best that is served"
    assert found.reason == reason
    assert found.to_wire() == {"queue": "chrome-vision", "reason": reason, "preferred": "edge-text"}
    assert route("chrome-vision firefox-audio").queue == "firefox-audio", "by the table's rank"
    assert route(expected="edge-text firefox-audio") == Route("edge-text", "edge took 8 ms")
    assert route(expected="chrome-vision").preferred == "edge-text"
    with pytest.raises(NoWorker, match="No worker serves edge-text, firefox-audio, chrome-vision; start one"):
        route()
    nobody = Presence(frozenset(), frozenset())
    assert choose_route(VIT, EDGE, presence=nobody).fixed, "who names a browser waits for it"
    assert choose_route(VIT, queue="mine", presence=nobody).queue == "mine"


def test_a_browser_is_judged_by_its_queue_and_its_sessions() -> None:
    ill = {"best_score": 20.0, "n_closed": 1}
    found = judge(
        frozenset({"edge-text", "chrome-vision"}), {"edge": ill, "chrome": {"best_score": 80, "n_closed": 1}}
    )
    assert {browser: (each.served, each.healthy) for browser, each in found.items()} == {
        FIREFOX: (False, True),
        CHROME: (True, True),
        EDGE: (True, False),
    }


def test_idle_browsers_try_what_was_hardly_measured_there(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [Known(browser, Family.VISION, name) for name in ("vit", "new") for browser in Browser]
    evidence = [noisy(CHROME, 20, 20), runs(EDGE, [20.0] * 2), runs(FIREFOX, [1.0], failed=2.0)]
    trials = plan_trials(evidence, known, frozenset(Browser), most=9)
    assert {(trial.browser, trial.model) for trial in trials} == {
        (CHROME, "new"),
        (EDGE, "vit"),
        (FIREFOX, "new"),
    }
    assert all(trial.reason.startswith("calibration: ") for trial in trials)
    assert [trial.browser for trial in plan_trials(evidence, known, frozenset({EDGE}), 9)] == [EDGE]
    assert len(plan_trials(evidence, known, frozenset(Browser), most=1)) == 1
    unknown = [Known(CHROME, Family.MULTIMODAL, "llava")]
    with patch.dict(FAMILIES):  # puts the rows back in their order too
        for name in ("clip", "llava"):
            del FAMILIES[name]
        assert plan_trials([], unknown, frozenset(Browser), 9) == []


def test_what_asks_for_webnn_first_goes_where_its_family_ran_on_webnn() -> None:
    """Chrome ran another model of the family there, once in sixty runs of the model itself elsewhere."""
    evidence = [
        noisy(EDGE, 10, 60),
        noisy(CHROME, 40, 60),
        replace(runs(CHROME, [50.0] * 3, backend="webnn"), model="clip"),
        replace(runs(EDGE, [5.0] * 9, backend="webnn"), family=Family.TEXT_EMBEDDING, model="bert"),
    ]
    table = build_table(evidence, Policy())
    told = write_table(table, 0.0)
    webnn = keys_of(Family.VISION, "vit", "fp32", "webnn")
    route = choose_route(webnn, table=decode(told), draw=0.99)
    assert (route.queue, route.reason) == (
        "chrome-vision",
        "webnn is asked for first, and chrome has run vision there (3 runs)",
    )
    assert choose_route(VIT, table=decode(told)).queue == "edge-text"
    text = keys_of(Family.TEXT_EMBEDDING, "minilm", "fp32", "webnn")
    assert choose_route(text, table=decode(told)).reason.startswith("webnn is asked for first, and edge has")
    other = keys_of(Family.AUDIO, "whisper", "fp32", "webnn")
    assert "no browser is known to have run it" in choose_route(other, table=decode(told)).reason
    away = Policy(conditions={CHROME: BrowserCondition(served=False)})
    both = [*evidence, replace(runs(FIREFOX, [9.0], backend="webnn"), model="clip")]
    table_away = decode(write_table(build_table(both, away), 0.0))
    assert choose_route(webnn, table=table_away).queue == "firefox-audio"
    assert alternatives(webnn, table_away, FIREFOX) == (CHROME, EDGE)
    assert {row["model"] for _, row in changes(table, {})} == {"vit", "clip", "bert"}


def test_what_asks_for_webnn_first_goes_to_the_prior_until_it_has_run_somewhere() -> None:
    table = {VIT[-1]: (Choice(Browser.CHROME, "measured on wasm"),)}
    webnn = keys_of(Family.VISION, "vit", "fp32", "webnn")
    route = choose_route(webnn, table=table)
    assert (route.queue, "webnn" in route.reason) == ("edge-text", True)
    measured = {**table, webnn[0]: (Choice(Browser.CHROME, "measured on webnn"),)}
    assert choose_route(webnn, table=measured).queue == "chrome-vision"
    assert choose_route(webnn, browser=Browser.FIREFOX, table=table).queue == "firefox-audio"
    assert choose_route(keys_of(Family.VISION, "vit", "fp32", "webgpu"), table=table).queue == "chrome-vision"
