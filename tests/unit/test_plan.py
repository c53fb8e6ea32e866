"""The order of backends: the caller's word is law, the default knows software from hardware."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.capabilities import BackendCapability, Capabilities
from browser_runtime.contract.errors import (
    BackendFault,
    InferenceError,
    ModelFault,
    OutOfMemory,
    Unsupported,
)
from browser_runtime.contract.messages import Adapter, Request
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Browser, Family
from browser_runtime.session.plan import DEFAULT_ORDER, nothing_left, plan_backends

softwares = st.sampled_from([True, False, None])
capabilities = st.builds(
    lambda proved, software: Capabilities(
        {
            backend: BackendCapability(
                True, backend in proved, "" if backend in proved else "no", Adapter("a", software=software)
            )
            for backend in PAGE_BACKENDS
        }
    ),
    st.sets(st.sampled_from(PAGE_BACKENDS)),
    softwares,
)
orders = st.lists(st.sampled_from(PAGE_BACKENDS), unique=True).map(tuple)


@given(orders.filter(bool), st.sampled_from(Browser), capabilities)
def test_a_wish_is_obeyed_to_the_letter(
    asked: tuple[Backend, ...], browser: Browser, can: Capabilities
) -> None:
    plan = plan_backends(asked, browser, Family.VISION, can)
    assert plan.backends == tuple(backend for backend in asked if can.can(backend))
    assert [told["backend"] for told in plan.passed_over] == [str(b) for b in asked if not can.can(b)]
    assert all(told["reason"] for told in plan.passed_over)


@given(st.sampled_from(Browser), capabilities)
def test_the_default_holds_only_what_was_proved(browser: Browser, can: Capabilities) -> None:
    plan = plan_backends((), browser, Family.AUDIO, can)
    assert set(plan.backends) == {backend for backend in DEFAULT_ORDER[browser] if can.can(backend)}
    assert plan.reason


@given(st.sampled_from(Browser), capabilities)
def test_a_gpu_that_is_not_proved_hardware_comes_last(browser: Browser, can: Capabilities) -> None:
    plan = plan_backends((), browser, Family.TEXT_EMBEDDING, can)
    if can.can(Backend.WEBGPU) and can.adapter(Backend.WEBGPU).software is not False:
        assert plan.backends[-1] is Backend.WEBGPU
        assert "not proved to be hardware" in plan.reason


MODEL = ModelFault("acme/bert", "running model.onnx on wasm failed: ERROR_CODE: 1")
CRASH = BackendFault("webnn", "acme/bert", "unreachable")
LACKING = Unsupported("an operator of the model", "ERROR_CODE: 9")
FULL = OutOfMemory("std::bad_alloc")


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ((), Unsupported),
        (((Backend.WEBNN, CRASH), (Backend.WASM, MODEL)), ModelFault),
        (((Backend.WEBNN, CRASH), (Backend.WASM, FULL)), OutOfMemory),
        (((Backend.WEBNN, LACKING), (Backend.WASM, CRASH)), Unsupported),
        (((Backend.WEBNN, CRASH), (Backend.WASM, CRASH)), BackendFault),
    ],
)
def test_where_no_backend_is_left_the_most_telling_error_names_each_reason(
    failures: tuple[tuple[Backend, InferenceError], ...], kind: type[InferenceError]
) -> None:
    request = Request(Family.TEXT_EMBEDDING, "acme/bert", {}, backends=(Backend.WEBNN, Backend.WASM))
    found = nothing_left(request, Capabilities({}), "Chromium", failures)
    assert type(found) is kind
    assert all(str(error) in str(found) for _, error in failures)


def test_the_only_backend_there_is_tells_its_own_error() -> None:
    request = Request(Family.TEXT_EMBEDDING, "acme/bert", {}, backends=(Backend.WASM,))
    assert nothing_left(request, Capabilities({}), "Chromium", [(Backend.WASM, FULL)]) is FULL


def test_a_backend_that_failed_on_this_very_request_is_passed_over_and_told() -> None:
    known = BackendCapability(True, True, "", Adapter("a"))
    can = Capabilities({Backend.WEBNN: known, Backend.WASM: known})
    asked = (Backend.WEBNN, Backend.WASM)
    plan = plan_backends(asked, Browser.EDGE, Family.VISION, can, {Backend.WEBNN: "out of memory"})
    assert plan.backends == (Backend.WASM,)
    assert plan.passed_over == ({"backend": "webnn", "reason": "out of memory"},)
