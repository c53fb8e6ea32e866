"""The order of backends: the caller's word is law, the default knows software from hardware."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.capabilities import BackendCapability, Capabilities
from browser_runtime.contract.messages import Adapter
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Browser, Family
from browser_runtime.session.plan import DEFAULT_ORDER, plan_backends

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
