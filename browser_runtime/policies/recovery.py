"""Plans the recovery from an error: the action that the guide's contract lists for its category."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.policies.categories import Category, categorize
from browser_runtime.policies.devices import DeviceStep

# A request that ended this many sessions is itself the trouble.
MAX_ATTEMPTS = 3
# A request whose run hung so often is the trouble, too: each time it holds a lane for all of its limit.
MAX_HANGS = 2
# First and longest wait: a page whose socket dropped is back within 100 ms, a browser starts in 1 to 10 s.
BACKOFF_BASE_S, BACKOFF_LONGEST_S = 0.1, 10.0
# How much longer a run may take the one time that its deadline is extended.
LONGER_DEADLINE = 2.0


class RecoveryStep(StrEnum):
    """Steps after an error."""

    FAIL = "fail"
    RECONNECT = "reconnect"
    RESTART = "restart the browser"
    NEW_DEVICE = "open a new device"
    DEMOTE_BACKEND = "demote the backend"
    SMALLER_BATCH = "smaller batch"
    LONGER_LIMIT = "longer time limit"
    OTHER_BACKEND = "other backend"
    OTHER_SESSION = "other session"
    OTHER_BROWSER = "other browser"


@dataclass(frozen=True, slots=True)
class RecoveryContext:
    """The state that decides between the steps."""

    draw: float
    """A fresh random number in [0, 1), for the jitter."""
    n_items: int = 1
    """Items of the batch that failed."""
    other_backends: tuple[Backend, ...] = ()
    """Backends of the same session that the request allows and that were not tried."""
    has_other_session: bool = False
    has_other_browser: bool = False
    lives: bool = True
    """True while the session is still there: a page whose connection dropped may have come back."""
    timeout_s: float | None = None
    """The run's time limit."""
    longest_s: float | None = None
    """The limit that no run may exceed, whatever it is given; None: no such limit."""
    was_extended: bool = False
    """True where it was given longer before."""
    remaining_s: float | None = None
    """Time left until the request's deadline; None: it has none."""
    device: DeviceStep = DeviceStep.NEW_DEVICE
    """The step of the backend's DeviceRecord, the loss included."""


@dataclass(frozen=True, slots=True)
class Action:
    """The answer to an error: a step for session, call and request."""

    step: RecoveryStep
    category: Category
    reason: str
    delay_s: float = 0.0
    """Wait this long first."""
    n_items: int | None = None
    """Most items of a smaller batch."""
    backend: Backend | None = None
    timeout_s: float | None = None

    @property
    def retries(self) -> bool:
        """True where the request is tried again."""
        return self.step is not RecoveryStep.FAIL


def backoff_s(
    attempt: int, draw: float, base_s: float = BACKOFF_BASE_S, longest_s: float = BACKOFF_LONGEST_S
) -> float:
    """The wait after failed attempt number `attempt` (from 1): full jitter, `draw` from [0, 1).

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return float(draw * min(longest_s, base_s * 2 ** min(attempt - 1, 32)))


def plan_recovery(error: InferenceError, attempt: int, context: RecoveryContext) -> Action:
    """Plan the action after failed attempt number `attempt` (from 1).

    Ends: no action repeats for ever, since after MAX_ATTEMPTS only a batch that still shrinks goes on.
    """
    category = categorize(error)
    action = REMEDIES[category](category, attempt, context)
    if context.remaining_s is not None and action.retries and action.delay_s >= context.remaining_s:
        return _fail(category, "its deadline comes first")
    if attempt >= MAX_ATTEMPTS and action.step is not RecoveryStep.SMALLER_BATCH and action.retries:
        return _fail(category, f"{attempt} attempts failed")
    return action


def _fail(category: Category, reason: str) -> Action:
    return Action(RecoveryStep.FAIL, category, reason)


def _give_up(category: Category, attempt: int, context: RecoveryContext) -> Action:
    return _fail(category, "another attempt would end the same way")


def _reconnect(category: Category, attempt: int, context: RecoveryContext) -> Action:
    if not context.lives:
        return _restart(category, attempt, context)
    delay_s = 0.0 if context.has_other_session else backoff_s(attempt, context.draw)
    return Action(RecoveryStep.RECONNECT, category, "only the connection dropped", delay_s)


def _restart(category: Category, attempt: int, context: RecoveryContext) -> Action:
    """Another session takes it where there is one; else the first restart is at once: crashes are rare."""
    if context.has_other_session:
        return Action(RecoveryStep.OTHER_SESSION, category, "its browser has to be replaced")
    delay_s = backoff_s(attempt - 1, context.draw) if attempt > 1 else 0.0
    return Action(RecoveryStep.RESTART, category, "its browser has to be replaced", delay_s)


def _make_room(category: Category, attempt: int, context: RecoveryContext) -> Action:
    if context.n_items > 1:
        n_items = context.n_items // 2
        return Action(RecoveryStep.SMALLER_BATCH, category, "half a batch needs less memory", n_items=n_items)
    return _reroute(category, attempt, context)


def _reroute(category: Category, attempt: int, context: RecoveryContext) -> Action:
    if context.other_backends:
        backend = context.other_backends[0]
        return Action(RecoveryStep.OTHER_BACKEND, category, f"{backend} may do it", backend=backend)
    if context.has_other_browser:
        return Action(RecoveryStep.OTHER_BROWSER, category, "another browser may do it")
    return _fail(category, "no other backend or browser is left")


def _extend(category: Category, attempt: int, context: RecoveryContext) -> Action:
    """Once, and only where neither the settings nor the request's own deadline forbid it."""
    if not context.lives:
        return _restart(category, attempt, context)
    if attempt >= MAX_HANGS:
        return _fail(category, f"it hung {attempt} times")
    timeout_s = _longer_timeout_s(context)
    if not context.was_extended and timeout_s is not None:
        return Action(RecoveryStep.LONGER_LIMIT, category, "it may just be slow", timeout_s=timeout_s)
    if context.has_other_session:
        return Action(RecoveryStep.OTHER_SESSION, category, "this session does not answer")
    return _restart(category, attempt, context)


def _longer_timeout_s(context: RecoveryContext) -> float | None:
    if context.timeout_s is None:
        return None
    limits = (context.timeout_s * LONGER_DEADLINE, context.remaining_s, context.longest_s)
    allowed_s = min(limit for limit in limits if limit is not None)
    return allowed_s if allowed_s > context.timeout_s else None


def _renew_device(category: Category, attempt: int, context: RecoveryContext) -> Action:
    if context.device is DeviceStep.RESTART_BROWSER:
        return _restart(category, attempt, context)
    if context.device is DeviceStep.DEMOTE_BACKEND:
        return Action(RecoveryStep.DEMOTE_BACKEND, category, "its device was lost three times")
    return Action(RecoveryStep.NEW_DEVICE, category, "its device was lost")


REMEDIES: dict[Category, Callable[[Category, int, RecoveryContext], Action]] = {
    Category.CONNECTION: _reconnect,
    Category.CRASH: _restart,
    Category.MEMORY: _make_room,
    Category.TIMEOUT: _extend,
    Category.UNSUPPORTED: _reroute,
    Category.INCOMPATIBLE: _give_up,
    Category.RESOURCE: _give_up,
    Category.DEVICE: _renew_device,
    Category.OUTPUT: _reroute,
    Category.FINAL: _give_up,
}
