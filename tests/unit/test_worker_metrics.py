"""A worker's gauges of the models that fail, as Prometheus' own parser reads them."""

from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client", reason="the extra `worker` is not installed")

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from browser_runtime.contract.errors import ModelFault
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.sharing import KeptResults, LaneSharing, SharedGraphs
from browser_runtime.contract.status import LaneStatus, PoolStatus, SessionStatus
from browser_runtime.contract.vocabulary import Browser, Precision
from browser_runtime.pool.health.model_breakers import ModelBreakers
from workers.metrics import WorkerMetrics

KEY = ModelKey.of("odd", "abc", None, Precision.FP32, ("graph_capture",))


def scrape(models: ModelBreakers, *sessions: SessionStatus) -> dict[tuple[str, ...], float]:
    metrics = WorkerMetrics("w@h", "chrome")
    metrics.show(lambda: PoolStatus(Browser.CHROME, sessions=sessions, failing_models=models.failing()))
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_where_no_model_fails_the_gauges_are_zero() -> None:
    found = scrape(ModelBreakers())
    states = {key[1]: value for key, value in found.items() if key[0] == "webinfer_failing_models"}
    assert states == {"CLOSED": 0, "OPEN": 0, "HALF_OPEN": 0}
    assert not [key for key in found if key[0].startswith("webinfer_model_")]


def test_a_model_that_fails_has_its_breaker_and_its_failures_and_loses_them_when_it_recovers() -> None:
    models, labels = ModelBreakers(), ("graph_capture", "odd", "fp32", "abc")
    models.failed(KEY, ModelFault("odd", "its graph cannot be opened"))
    found = scrape(models)
    assert found["webinfer_model_failures", *labels] == 1
    assert found["webinfer_model_breaker", *labels, "CLOSED"] == 1
    while models.refusal(KEY) is None:
        models.failed(KEY, ModelFault("odd", "its graph cannot be opened"))
    found = scrape(models)
    assert found["webinfer_failing_models", "OPEN"] == 1 and found["webinfer_failing_models", "CLOSED"] == 0
    assert found["webinfer_model_breaker", *labels, "OPEN"] == 1
    assert found["webinfer_model_failures", *labels] > 1
    models = ModelBreakers()
    models.failed(KEY, ModelFault("odd", "its graph cannot be opened"))
    models.succeeded(KEY)
    assert scrape(models)["webinfer_failing_models", "CLOSED"] == 0


def test_what_models_of_a_session_share_is_added_up_over_its_lanes() -> None:
    graphs = SharedGraphs(n_parts=2, n_references=3, size_bytes=90, saved_bytes=70)
    results = KeptResults(n_results=5, size_bytes=50, hits=4)
    lanes = (LaneStatus(sharing=LaneSharing(graphs, results)), LaneStatus(sharing=LaneSharing(graphs)))
    found = scrape(ModelBreakers(), SessionStatus("chrome-1", Browser.CHROME, lanes=lanes))
    told = {key[0]: value for key, value in found.items() if key[0].startswith("webinfer_shared_")}
    assert told == {
        "webinfer_shared_graphs": 4,
        "webinfer_shared_graph_uses": 6,
        "webinfer_shared_graph_saved_bytes": 140,
        "webinfer_shared_results": 5,
        "webinfer_shared_result_bytes": 50,
        "webinfer_shared_result_hits": 4,
    }
