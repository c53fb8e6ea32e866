"""Errors by what helps against them, and by whether they speak against their session."""

from __future__ import annotations

from enum import StrEnum

from browser_runtime.contract.errors import (
    BackendFault,
    BadOutput,
    BridgeClosed,
    BrowserDied,
    Busy,
    DeviceLost,
    InferenceError,
    ModelFault,
    OutOfMemory,
    PageFault,
    PageSilent,
    SessionLost,
    UnknownModel,
    Unsupported,
)


class Category(StrEnum):
    """Kinds of errors by what helps against them."""

    CONNECTION = "connection"
    CRASH = "browser crash"
    MEMORY = "out of memory"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported operation"
    INCOMPATIBLE = "model incompatible"
    RESOURCE = "resource"
    DEVICE = "device lost"
    OUTPUT = "bad output"
    FINAL = "final"
    """The caller's fault, a defect, or something missing: another attempt ends the same way."""


class Blame(StrEnum):
    """Kinds of evidence against a session, for its breaker and health."""

    NONE = "none"
    FAILURE = "failure"
    CRASH = "crash"
    DEFECT = "defect"
    """The model's, as long as it is the only one that meets it."""


# The first line that fits holds; subclasses come before their parents.
CATEGORIES: tuple[tuple[type[InferenceError], Category], ...] = (
    (BrowserDied, Category.CRASH),
    (PageSilent, Category.TIMEOUT),
    (DeviceLost, Category.DEVICE),
    (BridgeClosed, Category.CONNECTION),
    (SessionLost, Category.CRASH),
    (OutOfMemory, Category.MEMORY),
    (Unsupported, Category.UNSUPPORTED),
    (BackendFault, Category.UNSUPPORTED),
    (ModelFault, Category.INCOMPATIBLE),
    (UnknownModel, Category.INCOMPATIBLE),
    (Busy, Category.RESOURCE),
    (BadOutput, Category.OUTPUT),
    (InferenceError, Category.FINAL),
)


def categorize(error: InferenceError) -> Category:
    """The category of `error`."""
    return next(category for kind, category in CATEGORIES if isinstance(error, kind))


def assign_blame(error: InferenceError) -> Blame:
    """Weigh `error` against its session: not what caller, model, backend or a full queue caused."""
    if isinstance(error, BrowserDied):
        return Blame.CRASH
    if isinstance(error, PageFault):
        return Blame.DEFECT
    return Blame.FAILURE if isinstance(error, SessionLost) else Blame.NONE
