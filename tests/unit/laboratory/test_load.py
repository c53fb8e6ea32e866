"""Arrivals, the search for the highest rate on a queue of known capacity, and pictures."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput, NotReady, NoWorker
from browser_runtime.contract.family_spec import AnswerSpec
from browser_runtime.contract.vocabulary import Browser
from scheduler.experiments.load_picture import draw_load
from scheduler.experiments.loads import tabulate_load
from tasks.routing.router import Presence
from webinfer import producing
from webinfer.bench.laboratory import load, load_stack
from webinfer.bench.laboratory.answers import Answer
from webinfer.bench.laboratory.arrivals import PATTERNS, draw_arrivals, scale_trace
from webinfer.bench.laboratory.load import LoadedModel, LoadResult, LoadRun
from webinfer.bench.laboratory.load_limit import NEAR, find_limit, trial_seconds
from webinfer.commands.load import command

SERVICE_S = 0.02


def queue_at(rate: float, seconds: float = 20.0) -> LoadResult:
    """One server that takes 20 ms a request: it carries 50/s and no more. Latency from the intended time."""
    free, latencies = 0.0, []
    for due in draw_arrivals("poisson", rate, seconds):
        free = max(free, due) + SERVICE_S
        latencies.append((free - due) * 1000)
    return LoadResult(rate, seconds, sorted(latencies), n_sent=len(latencies))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_arrivals_have_the_rate_that_was_asked_for(pattern: str) -> None:
    found = draw_arrivals(pattern, 20.0, 400.0)
    assert len(found) == pytest.approx(8000, rel=0.05)
    assert found == sorted(found) and found[0] >= 0 and found[-1] < 400
    assert found == draw_arrivals(pattern, 20.0, 400.0)


def test_a_trace_keeps_its_shape_at_another_rate() -> None:
    assert scale_trace([10.0, 12.0, 11.0], None) == [0.0, 1.0, 2.0]
    assert scale_trace([10.0, 11.0, 12.0, 14.0], 2.0) == pytest.approx([0.0, 0.5, 1.0, 2.0])


def test_the_limit_of_a_queue_is_found() -> None:
    """M/D/1: at 45/s its p95 is some 200 ms, beyond 50/s it grows without end."""
    limit = find_limit(queue_at, 0.95, 200.0)
    assert limit.carried_per_s and limit.failed_per_s
    assert 38 < limit.carried_per_s < 50 < 54 and limit.failed_per_s / limit.carried_per_s <= NEAR * 1.001
    at_limit = [one for one in limit.tried if one.offered_per_s == limit.carried_per_s]
    assert len(at_limit) >= 2 and all(one.holds(0.95, 200.0) for one in at_limit)
    assert "hold p95 within 200 ms" in limit.sentence()


def test_no_rate_and_every_rate_are_told() -> None:
    never = find_limit(queue_at, 0.95, 1.0)
    assert never.carried_per_s is None and never.sentence().startswith("no rate from 4/s on holds")
    always = find_limit(lambda rate: LoadResult(rate, 1.0, [1.0] * 100), 0.95, 2.0)
    assert always.carried_per_s == 4096.0 and "the most that was tried" in always.sentence()


@pytest.mark.parametrize("between", [False, True])
def test_the_rates_before_ctrl_c_are_told(between: bool) -> None:
    """It comes while the third rate is tried, or before that began."""

    def try_rate(rate: float) -> LoadResult:
        if rate > 8.0 and between:
            raise KeyboardInterrupt
        return LoadResult(rate, 1.0, [1.0] * 100 if rate < 8.0 else [9.0] * 100, is_cut=rate > 8.0)

    limit = find_limit(try_rate, 0.95, 10.0)
    assert limit.is_cut and limit.carried_per_s is None and len(limit.tried) == (2 if between else 3)
    assert limit.sentence() == "stopped by hand before the limit was known: 8.0/s held"
    table = tabulate_load({"models": ["m"], "browser": "edge", "pattern": "poisson"} | _runs(limit.tried))
    assert [row[-1].text for row in table.rows] == ["", "", "stopped by hand"][: len(table.rows)]
    cut = find_limit(lambda rate: LoadResult(rate, 1.0, is_cut=True), 0.95, 10.0)
    assert cut.sentence().endswith("no rate was tried to its end")


def _runs(results: list[LoadResult]) -> dict[str, object]:
    return {"runs": [one.to_plain() for one in results]}


def test_ctrl_c_before_the_first_rate_is_told_as_any() -> None:
    def interrupt(rate: float) -> LoadResult:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_limit(interrupt, 0.95, 10.0)


def test_slow_rates_are_tried_for_long_enough() -> None:
    """Of 16 requests (four seconds at the first rate) there is no 95th percentile: nothing would hold."""
    for rate in (4.0, 8.0, 64.0):
        arrivals = draw_arrivals("poisson", rate, trial_seconds(rate, 4.0))
        assert LoadResult(rate, 4.0, [1.0] * len(arrivals)).holds(0.95, 2.0)


def test_a_wrong_answer_is_not_carried() -> None:
    one = LoadResult(5.0, 10.0, [1.0] * 100)
    assert one.holds(0.95, 10.0)
    one.errors = Counter({"wrong answer: '9' instead of '7'": 1})
    assert not one.holds(0.95, 10.0) and one.n_errors == 1


def test_percentiles_without_enough_answers_are_left_out() -> None:
    plain = LoadResult(5.0, 10.0, [float(n) for n in range(100)]).to_plain()
    assert plain["percentiles_ms"] == {
        "p50": 49.0,
        "p75": 74.0,
        "p90": 89.0,
        "p95": 94.0,
        "p99": 98.0,
        "p99.9": None,
    }


def test_a_picture_is_an_svg_with_a_curve_a_percentile() -> None:
    results = [queue_at(rate) for rate in (40.0, 10.0)] + [
        LoadResult(60.0, 1.0, [1.0] * 5, is_overloaded=True)
    ]
    runs = [one.to_plain() for one in results]
    picture = ElementTree.fromstring(draw_load(runs, "<a> & b", 500.0))
    assert len(picture.findall("{*}polyline")) == 3
    table = tabulate_load({"models": ["m"], "browser": "edge", "pattern": "poisson", "runs": runs})
    assert len(table.rows) == 3 and "<polyline" in table.picture
    assert [row[-1].text for row in table.rows] == ["", "", "overloaded"]


class Prompt(LoadRun):
    """Has every answer at once."""

    def _send(self, due: float) -> None:
        self.result.n_sent += 1


def test_the_offered_rate_is_that_of_the_whole_time() -> None:
    """Of one request at the start: it comes once in a second, not a thousand times."""
    found = Prompt([], draw_arrivals("constant", 1.0, 1.0), 1.0).run(lambda text: None)
    assert (found.offered_per_s, found.n_sent) == (1.0, 1)
    assert Prompt([], draw_arrivals("constant", 4.0, 10.0), 10.0).result.offered_per_s == 4.0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--trace {trace} --pattern bursts", "--pattern has no effect: --trace has its own"),
        ("--trace {trace} --duration 5s", "--duration has no effect: --trace has its own"),
        ("--find-limit --rate 5", "--rate has no effect: --find-limit tries rates of its own"),
        ("--p95 1s", "--p95 has no effect: it is of --find-limit"),
        ("--running --sessions 2", "--sessions has no effect: the stack that is up has its own"),
        ("--rate 0.01 --pattern constant --duration 1s", "--duration is 1 s, in which no request is due"),
        ("--trace {junk}", "--trace is .*, which holds 'junk'"),
        ("--trace {empty}", "--trace is .*, which holds no time"),
        ("--find-limit --trace {trace}", "of 2 times, but must be one of 40 at least with --find-limit"),
        ("--trace {once}", "--trace is .*, whose times are all one"),
        ("--picture -", "'-' is not printed here"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    files = {"trace": "0\n1\n", "junk": "0\njunk\n", "empty": "# nothing\n", "once": "7\n7\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("webinfer.commands.load._mix", None)
    given = [word.format_map({name: tmp_path / name for name in files}) for word in words.split()]
    done = CliRunner().invoke(command, ["digits-vit", *given])
    told = str(done.exception) if isinstance(done.exception, BadInput) else " ".join(done.output.split())
    assert re.search(why, told), told


def test_a_model_that_is_named_twice_comes_twice_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(names: tuple[str, ...], *rest: object) -> list[LoadedModel]:
        return [LoadedModel(name, {}, AnswerSpec(), Answer(), {}) for name in dict.fromkeys(names)]

    monkeypatch.setattr(load_stack, "_prepare", prepare)
    mix = load_stack.prepare_mix(("a", "b", "a"), Browser.CHROME, None, lambda text: None)
    assert [model.name for model in mix] == ["a", "b", "a"]


@pytest.mark.parametrize("presence", [None, Presence(frozenset({"edge-text"}), frozenset())])
def test_a_browser_without_a_worker_is_told_at_once(
    presence: Presence | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests would wait for one; where nothing is known of workers, they do."""
    known = SimpleNamespace(refresh=lambda: SimpleNamespace(presence=presence))
    monkeypatch.setattr(load_stack, "app", SimpleNamespace(routing=known))
    load_stack.require_worker(Browser.EDGE)
    if presence is None:
        load_stack.require_worker(Browser.CHROME)
    else:
        with pytest.raises(NoWorker, match="No worker serves chrome-vision"):
            load_stack.require_worker(Browser.CHROME)


class Cut(LoadRun):
    """Ends by Ctrl-C at its second request."""

    def _send(self, due: float) -> None:
        if self._pending:
            raise KeyboardInterrupt
        self._pending["first"] = (due, None, None)  # type: ignore[assignment]


def test_what_is_outstanding_at_ctrl_c_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    revoked: list[list[str]] = []
    control = SimpleNamespace(revoke=lambda ids, terminate: revoked.append(ids))
    monkeypatch.setattr(load, "app", SimpleNamespace(control=control))
    found = Cut([], [0.0, 0.0], 1.0).run(lambda text: None)
    assert revoked == [["first"]]
    assert found.is_cut and not found.errors and not found.holds(0.95, 1000.0)


def test_a_broker_that_is_lost_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(**limits: float) -> None:
        raise RuntimeError("Retry limit exceeded")

    settings = SimpleNamespace(broker_url="redis://:secret@gone:1/0")
    backend = SimpleNamespace(result_consumer=SimpleNamespace(drain_events=lose))
    monkeypatch.setattr(load, "app", SimpleNamespace(backend=backend))
    monkeypatch.setattr(producing, "app", SimpleNamespace(settings=settings))
    with pytest.raises(NotReady, match=r"No Redis answers at redis://:..@gone:1"):
        Prompt([], [0.2], 1.0).run(lambda text: None)
