"""Recovery: the contract's table, an end to every chain of attempts, nothing past a deadline."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import (
    BY_CODE,
    BadOutput,
    BadRequest,
    BridgeClosed,
    BrowserDied,
    Busy,
    DeviceLost,
    InferenceError,
    OutOfMemory,
    PageFault,
    PageSilent,
    SessionLost,
    UnknownModel,
    Unsupported,
)
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend
from browser_runtime.policies.categories import Blame, Category, assign_blame, categorize
from browser_runtime.policies.devices import DeviceStep
from browser_runtime.policies.recovery import (
    BACKOFF_LONGEST_S,
    MAX_ATTEMPTS,
    REMEDIES,
    Action,
    RecoveryContext,
    RecoveryStep,
    backoff_s,
    plan_recovery,
)

draws = st.floats(0, 1, exclude_max=True)
errors = st.sampled_from(list(BY_CODE.values())).map(lambda kind: kind("s", "why"))
contexts = st.builds(
    RecoveryContext,
    draw=draws,
    n_items=st.integers(1, 64),
    other_backends=st.lists(st.sampled_from(PAGE_BACKENDS), unique=True).map(tuple),
    has_other_session=st.booleans(),
    has_other_browser=st.booleans(),
    lives=st.booleans(),
    timeout_s=st.none() | st.floats(0.1, 300),
    longest_s=st.none() | st.floats(0.1, 300),
    was_extended=st.booleans(),
    remaining_s=st.none() | st.floats(0, 600),
    device=st.sampled_from([s for s in DeviceStep if s is not DeviceStep.NONE]),
)
PLAIN = RecoveryContext(draw=0.5)

# The contract: error, context, what is done first.
TABLE: list[tuple[InferenceError, RecoveryContext, RecoveryStep]] = [
    (BridgeClosed("s", ""), PLAIN, RecoveryStep.RECONNECT),
    (BridgeClosed("s", ""), replace(PLAIN, lives=False), RecoveryStep.RESTART),
    (BrowserDied("s", ""), PLAIN, RecoveryStep.RESTART),
    (BrowserDied("s", ""), replace(PLAIN, has_other_session=True), RecoveryStep.OTHER_SESSION),
    (OutOfMemory(""), replace(PLAIN, n_items=2), RecoveryStep.SMALLER_BATCH),
    (OutOfMemory(""), replace(PLAIN, other_backends=(Backend.WASM,)), RecoveryStep.OTHER_BACKEND),
    (OutOfMemory(""), replace(PLAIN, has_other_browser=True), RecoveryStep.OTHER_BROWSER),
    (PageSilent("s", ""), replace(PLAIN, timeout_s=5.0), RecoveryStep.LONGER_LIMIT),
    (
        PageSilent("s", ""),
        replace(PLAIN, timeout_s=5.0, remaining_s=4.0, has_other_session=True),
        RecoveryStep.OTHER_SESSION,
    ),
    (PageSilent("s", ""), PLAIN, RecoveryStep.RESTART),
    (PageSilent("s", ""), replace(PLAIN, timeout_s=5.0, longest_s=5.0), RecoveryStep.RESTART),
    (PageSilent("s", ""), replace(PLAIN, timeout_s=5.0, was_extended=True), RecoveryStep.RESTART),
    (Unsupported("op", ""), replace(PLAIN, other_backends=(Backend.WASM,)), RecoveryStep.OTHER_BACKEND),
    (Unsupported("op", ""), PLAIN, RecoveryStep.FAIL),
    (UnknownModel("m", ""), replace(PLAIN, has_other_browser=True), RecoveryStep.FAIL),
    (Busy(1), PLAIN, RecoveryStep.FAIL),
    (DeviceLost("s", ""), PLAIN, RecoveryStep.NEW_DEVICE),
    (DeviceLost("s", ""), replace(PLAIN, device=DeviceStep.RESTART_BROWSER), RecoveryStep.RESTART),
    (DeviceLost("s", ""), replace(PLAIN, device=DeviceStep.DEMOTE_BACKEND), RecoveryStep.DEMOTE_BACKEND),
    (BadOutput(""), replace(PLAIN, other_backends=(Backend.WASM,)), RecoveryStep.OTHER_BACKEND),
]


@pytest.mark.parametrize(("error", "context", "step"), TABLE)
def test_the_contracts_table(error: InferenceError, context: RecoveryContext, step: RecoveryStep) -> None:
    assert plan_recovery(error, 1, context).step is step


def test_a_second_timeout_goes_to_another_session() -> None:
    context = replace(PLAIN, timeout_s=5.0, has_other_session=True)
    first = plan_recovery(PageSilent("s", ""), 1, context)
    second = plan_recovery(PageSilent("s", ""), 1, replace(context, was_extended=True))
    assert (first.step, first.timeout_s) == (RecoveryStep.LONGER_LIMIT, 10.0)
    assert second.step is RecoveryStep.OTHER_SESSION


def test_every_error_has_a_category_and_every_category_a_remedy() -> None:
    assert REMEDIES.keys() == set(Category)
    assert all(isinstance(categorize(kind("s", "why")), Category) for kind in BY_CODE.values())


@given(errors, st.integers(1, 10), contexts)
def test_the_callers_faults_and_what_cannot_be_mended_are_never_tried_again(
    error: InferenceError, attempt: int, context: RecoveryContext
) -> None:
    action = plan_recovery(error, attempt, context)
    if isinstance(error, BadRequest) or action.category in (Category.FINAL, Category.INCOMPATIBLE):
        assert not action.retries
    assert action.reason


@given(errors, st.integers(1, 10), contexts)
def test_an_action_stays_within_the_deadline(
    error: InferenceError, attempt: int, context: RecoveryContext
) -> None:
    action = plan_recovery(error, attempt, context)
    assert 0 <= action.delay_s <= BACKOFF_LONGEST_S
    if action.retries and context.remaining_s is not None:
        assert action.delay_s < context.remaining_s
        assert action.timeout_s is None or action.timeout_s <= context.remaining_s
    if action.timeout_s is not None:
        assert context.timeout_s is not None and action.timeout_s > context.timeout_s
        assert context.longest_s is None or action.timeout_s <= context.longest_s


@given(errors, contexts)
def test_every_chain_of_attempts_ends(error: InferenceError, context: RecoveryContext) -> None:
    actions: list[Action] = []
    for attempt in range(1, 20):
        actions.append(plan_recovery(error, attempt, context))
        if not actions[-1].retries:
            break
        if actions[-1].step is RecoveryStep.SMALLER_BATCH:
            assert actions[-1].n_items is not None and 1 <= actions[-1].n_items < context.n_items
            context = replace(context, n_items=actions[-1].n_items)
        if actions[-1].step is RecoveryStep.LONGER_LIMIT:
            context = replace(context, was_extended=True)
    assert not actions[-1].retries
    assert sum(action.step is RecoveryStep.LONGER_LIMIT for action in actions) <= 1
    assert sum(a.step is not RecoveryStep.SMALLER_BATCH for a in actions) <= MAX_ATTEMPTS


@given(errors, contexts)
def test_what_is_offered_was_there(error: InferenceError, context: RecoveryContext) -> None:
    action = plan_recovery(error, 1, context)
    assert action.backend is None or action.backend in context.other_backends
    assert action.step is not RecoveryStep.OTHER_SESSION or context.has_other_session
    assert action.step is not RecoveryStep.OTHER_BROWSER or context.has_other_browser


@given(st.integers(1, 1000), draws)
def test_backoff_is_full_jitter_under_a_doubling_ceiling(attempt: int, draw: float) -> None:
    assert 0 <= backoff_s(attempt, draw) <= min(0.1 * 2 ** (attempt - 1), BACKOFF_LONGEST_S)
    assert backoff_s(attempt, draw) <= backoff_s(attempt + 1, draw)


@given(errors)
def test_only_a_sessions_own_doing_counts_against_it(error: InferenceError) -> None:
    blame = assign_blame(error)
    mine = isinstance(error, SessionLost), isinstance(error, PageFault)
    assert (blame in (Blame.FAILURE, Blame.CRASH), blame is Blame.DEFECT) == mine
    assert (blame is Blame.CRASH) is isinstance(error, BrowserDied)
