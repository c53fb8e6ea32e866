"""What `get_metrics` tells is what is the case now."""

from __future__ import annotations

from fixed_web_platform.resource_pool_bridge import PooledModel, ResourcePoolBridgeIntegration
from tests.integration.conftest import SEVEN


def test_the_guides_keys_are_there(
    shared_integration: ResourcePoolBridgeIntegration, digits: PooledModel
) -> None:
    metrics = shared_integration.get_metrics()
    wanted = {
        "active",
        "max",
        "current",
        "idle",
        "utilization",
        "browser_distribution",
        "platform_distribution",
    }
    assert set(metrics["connections"]) >= wanted
    assert metrics["adaptive_scaling"]["enabled"] is False
    assert metrics["adaptive_scaling"]["scaling_events"] == []
    assert metrics["connections"]["max"] == 2
    assert metrics["connections"]["browser_distribution"]["chrome"] == 1
    assert 0 < metrics["resources"]["system_memory_percent"] <= 100
    assert metrics["resources"]["process_memory_mb"] > 10
    assert metrics["resources"]["browser_memory_mb"] > 50
    can = metrics["browser_capabilities"]["chrome"]
    assert (can["webgpu_supported"], can["webnn_supported"]) == (True, False)
    assert can["webgpu_is_software"] is True or can["webgpu_adapter"]
    circuit = metrics["circuit_breaker"]["circuit_states"]["chrome-1"]
    assert (circuit["state"], circuit["failures"], circuit["health_score"]) == ("CLOSED", 0, 100.0)
    assert circuit["successes"] >= 0
    assert metrics["models"]["digits-vit"][0]["session"] == "chrome-1"
    assert metrics["models"]["digits-vit"][0]["backend"] == "wasm"


def test_utilisation_rises_while_something_runs(
    shared_integration: ResourcePoolBridgeIntegration, digits: PooledModel
) -> None:
    assert shared_integration.get_metrics()["connections"]["utilization"] == 0
    # The pool's loop takes both in this order: the run is on its way to the page when the metrics are read.
    answer = digits.ask([SEVEN] * 32)
    busy = shared_integration.get_metrics()
    assert busy["connections"]["active"] == 1
    assert busy["connections"]["utilization"] == 1 / busy["connections"]["current"]
    assert busy["queue"]["running"] == 1
    answer.result()
    assert shared_integration.get_metrics()["connections"]["utilization"] == 0


def test_performance_counts_answers_failures_and_times(
    shared_integration: ResourcePoolBridgeIntegration, digits: PooledModel
) -> None:
    before = shared_integration.get_metrics()["performance"]
    results = shared_integration.execute_concurrent_sync([(digits, SEVEN)] * 5)
    after = shared_integration.get_metrics()["performance"]
    assert after["answered"] - before["answered"] == 5
    assert after["throughput_per_s"] > 0
    (group,) = [found for found in after["by_model"] if found["model"] == "digits-vit"]
    assert (group["browser"], group["backend"]) == ("chrome", "wasm")
    assert group["total_ms"]["p95"] >= group["total_ms"]["p50"] >= group["inference_ms"]["p50"] > 0
    assert all(result["success"] for result in results)
