"""A model's breaker: what opens it, what a refusal says, and what lets the model back in."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from browser_runtime.contract.errors import (
    BackendFault,
    BadInput,
    BrowserDied,
    FailedAt,
    InferenceError,
    ModelFault,
    OutOfMemory,
    PageFault,
    Unsupported,
)
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.status import BreakerState
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.pool.health.model_breakers import MAX_MODELS, ModelBreakers

KEY = ModelKey("acme/bert", "0123456789ab", None, Precision.FP32)
ANOTHER = ModelKey("another", "1", None, Precision.FP32)
FAULT = ModelFault("acme/bert", "opening model.onnx on wasm failed: ERROR_CODE: 1")


def opened(error: InferenceError = FAULT) -> ModelBreakers:
    models = ModelBreakers()
    for _ in range(5):
        models.started(KEY)
        models.failed(KEY, error)
    return models


def state(models: ModelBreakers) -> BreakerState:
    return models.failing()[KEY].breaker.state


def test_five_failures_in_a_row_refuse_the_model_until_a_time_that_is_told() -> None:
    models = opened()
    refusal = models.refusal(KEY)
    assert refusal is not None
    sentence = r"acme/bert .* 5 times in a row .* before \d\d:\d\d:\d\d UTC \(in (30|29) s\).*ERROR_CODE: 1"
    with pytest.raises(ModelFault, match=sentence):
        raise refusal
    assert models.refusal(ANOTHER) is None
    assert not models.may_start(KEY) and models.may_start(ANOTHER)


@pytest.mark.parametrize(
    "error",
    [
        BadInput("texts[0]", "3", "a text"),
        BrowserDied("chrome-1", "gone"),
        OutOfMemory("4 GB"),
        Unsupported("webnn", "no"),
        BackendFault("webnn", "acme/bert", "unreachable"),
    ],
    ids=lambda error: error.code(),
)
def test_what_is_not_the_models_own_doing_opens_nothing(error: InferenceError) -> None:
    assert opened(error).failing() == {}


def test_a_defect_of_the_page_counts_and_a_crash_while_loading_on_webassembly_is_enough() -> None:
    assert state(opened(PageFault("x is undefined", ""))) is BreakerState.OPEN
    models, crash = ModelBreakers(), BackendFault("wasm", "acme/bert", "unreachable")
    crash.at = FailedAt("chrome-1", "Chromium", "wasm")
    models.failed(KEY, crash)
    assert state(models) is BreakerState.CLOSED
    crash.at = FailedAt("chrome-1", "Chromium")
    models.failed(KEY, crash)
    assert state(models) is BreakerState.OPEN


def test_a_success_forgets_failures_and_three_probes_let_the_model_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = ModelBreakers()
    models.failed(KEY, FAULT)
    models.succeeded(KEY)
    assert models.failing() == {}
    models = opened()
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert models.refusal(KEY) is None
    for _ in range(3):
        assert models.may_start(KEY)
        with models.counting(KEY):
            pass
    assert models.failing() == {}


def test_while_three_probes_run_the_others_wait_and_a_failed_probe_refuses_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = opened()
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for _ in range(3):
        models.started(KEY)
    assert models.refusal(KEY) is None and not models.may_start(KEY)
    models.failed(KEY, FAULT)
    assert models.refusal(KEY) is not None


def test_only_so_many_models_are_remembered() -> None:
    models = ModelBreakers()
    for number in range(MAX_MODELS + 10):
        models.failed(replace(KEY, name=f"model-{number}"), FAULT)
    assert len(models.failing()) == MAX_MODELS
