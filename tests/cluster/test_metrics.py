"""Workers' own metrics: each on a port of its own, and through remote control."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.vocabulary import Browser
from tasks import infer
from tests.cluster.conftest import StartWorker, workers
from tests.cluster.test_control import ask
from tests.conftest import require_browser

Samples = dict[tuple[str, ...], float]


def scrape(address: str) -> Samples:
    """The value of each sample by its name and its labels in alphabetical order."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *dict(sorted(sample.labels.items())).values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send(**more: Any) -> Any:
    shape = {"image": {"width": 28, "height": 28}}
    return infer.delay(model_type="vision", model_name="digits-vit", inputs=shape, **more)


def test_workers_of_a_host_share_a_setting_and_not_a_port(start_worker: StartWorker) -> None:
    port = str(free_port())
    both = [start_worker(WEBINFER_METRICS_PORT=port) for _ in range(2)]
    addresses = [ask(worker.ready(), "browser_metrics")["metrics_address"] for worker in both]
    assert len(set(addresses)) == 2 and all(told.startswith("http://127.0.0.1:") for told in addresses)
    for _ in range(4):
        send().get(timeout=60)
    with pytest.raises(InferenceError):
        send(options={"fail": "PageFault"}).get(timeout=60)
    found = [scrape(address) for address in addresses]
    told = {key[-1] for samples in found for key in samples if key[0] == "webinfer_worker_info"}
    assert told == {worker.name for worker in both}
    answered = ("webinfer_requests_total", "answered")
    assert sum(samples.get(answered, 0) for samples in found) == 4
    failed = ("webinfer_requests_total", "PageFault")
    assert sum(samples.get(failed, 0) for samples in found) == 1
    failing = ("webinfer_failing_models", "CLOSED")
    assert sorted(samples[failing] for samples in found) == [0, 1]  # the model failed in one of the workers
    (failures,) = (key for samples in found for key in samples if key[0] == "webinfer_model_failures")
    assert failures[1:] == ("", "digits-vit", "fp32", "1")  # flags, model, precision, revision
    assert all(samples["webinfer_sessions", "ready"] == 1 for samples in found)


def test_without_the_setting_nothing_listens(start_worker: StartWorker) -> None:
    assert ask(start_worker().ready(), "browser_metrics")["metrics_address"] is None


def test_a_real_pools_metrics(settings: Any, tmp_path: Any) -> None:
    require_browser(Browser.CHROME)
    with workers(tmp_path, "tasks") as start:
        worker = start(WEBINFER_METRICS_PORT=str(free_port())).ready()
        for _ in range(3):
            assert send(hardware_preferences={"priority_list": ["wasm"]}).get(timeout=120)["success"]
        told = ask(worker, "browser_metrics")
        found = scrape(told["metrics_address"])
    wanted = {"connections", "adaptive_scaling", "browser_capabilities", "resources", "circuit_breaker"}
    assert set(told) >= wanted | {"performance", "models", "queue"}
    assert told["connections"]["current"] == 1 and told["performance"]["answered"] == 3
    assert told["circuit_breaker"]["circuit_states"]["chrome-1"]["state"] == "CLOSED"
    ran = ("wasm", "digits-vit")
    for name in ("queue_wait_seconds", "compute_seconds", "request_seconds", "batch_items"):
        assert found[f"webinfer_{name}_count", *ran] == 3, name
    assert 0 < found["webinfer_compute_seconds_sum", *ran] < found["webinfer_request_seconds_sum", *ran]
    assert found["webinfer_load_seconds_count", *ran] == 1
    assert found["webinfer_loads_total", *ran, "loaded"] == 1
    assert found["webinfer_session_events_total", "chrome", "opened"] == 1
    assert found["webinfer_breakers", "CLOSED"] == 1 and found["webinfer_breakers", "OPEN"] == 0
    assert found["webinfer_session_restarts_total",] == 0
    assert found["webinfer_session_memory_bytes", "chrome", "chrome-1"] > 1e7
